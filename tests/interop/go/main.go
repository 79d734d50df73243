// An auditor that knows nothing of gongwen: Go's own code for notes and trees.
//
//	auditor audit DIR LOGVKEY [WITNESSVKEY...]
//	auditor proof FILE.tlog-proof ENTRYFILE LOGVKEY [WITNESSVKEY...]
//	auditor sign PRIVATEKEY < text > note
//	auditor keygen NAME
//
// audit: the note is signed by the log and by every witness named and by nobody else; the files are
// exactly those of the static layout; every tile is what golang.org/x/mod/sumdb/tlog makes of the entries;
// the entries lead to the signed root; proofs made from the tiles alone hold.
//
// It ends with 0 and one line on stdout, or with 1 and a reason on stderr.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) >= 3 && args[0] == "audit":
		return audit(args[1], args[2], args[3:])
	case len(args) >= 4 && args[0] == "proof":
		return checkProof(args[1], args[2], args[3], args[4:])
	case len(args) == 2 && args[0] == "sign":
		return sign(args[1])
	case len(args) == 2 && args[0] == "keygen":
		private, public, err := note.GenerateKey(rand.Reader, args[1])
		if err != nil {
			return err
		}
		fmt.Printf("%s\n%s\n", private, public)
		return nil
	}
	return errors.New("usage: auditor audit|proof|sign|keygen ...")
}

func sign(private string) error {
	signer, err := note.NewSigner(private)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	signed, err := note.Sign(&note.Note{Text: string(text)}, signer)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(signed)
	return err
}

// A witness is a verifier for cosignature/v1 lines, which x/mod does not have.
type witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (w witness) Name() string    { return w.name }
func (w witness) KeyHash() uint32 { return w.hash }
func (w witness) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	head := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(sig))
	return ed25519.Verify(w.key, append([]byte(head), msg...), sig[8:])
}

func newWitness(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("malformed witness key")
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != 4 {
		return nil, errors.New("not an Ed25519 cosignature key")
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	if hex.EncodeToString(sum[:4]) != parts[1] {
		return nil, errors.New("the id of the witness key is wrong")
	}
	return witness{parts[0], binary.BigEndian.Uint32(sum[:4]), key[1:]}, nil
}

// open checks the checkpoint's signatures and reads it.
func open(msg []byte, logKey string, witnessKeys []string) (tree tlog.Tree, err error) {
	verifier, err := note.NewVerifier(logKey)
	if err != nil {
		return tree, err
	}
	verifiers := []note.Verifier{verifier}
	for _, vkey := range witnessKeys {
		w, err := newWitness(vkey)
		if err != nil {
			return tree, err
		}
		verifiers = append(verifiers, w)
	}
	n, err := note.Open(msg, note.VerifierList(verifiers...))
	if err != nil {
		return tree, err
	}
	if len(n.UnverifiedSigs) != 0 || len(n.Sigs) != len(verifiers) {
		return tree, fmt.Errorf("%d signatures verified and %d not, of %d keys",
			len(n.Sigs), len(n.UnverifiedSigs), len(verifiers))
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tree, errors.New("not a checkpoint of this log")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

func path(t tlog.Tile) string {
	name := "tile/" + strconv.Itoa(t.L)
	if t.L == -1 {
		name = "tile/entries"
	}
	return name + "/" + place(t.N, t.W)
}

func place(n int64, width int) string {
	p := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		p = fmt.Sprintf("x%03d/%s", n%1000, p)
	}
	if width != 1<<height {
		p += fmt.Sprintf(".p/%d", width)
	}
	return p
}

type dirTiles string

func (d dirTiles) Height() int                                { return height }
func (d dirTiles) SaveTiles(tiles []tlog.Tile, data [][]byte) {}
func (d dirTiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, t := range tiles {
		data, err := os.ReadFile(filepath.Join(string(d), filepath.FromSlash(path(t))))
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

func audit(dir, logKey string, witnessKeys []string) error {
	msg, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return err
	}
	tree, err := open(msg, logKey, witnessKeys)
	if err != nil {
		return err
	}
	expected := map[string]bool{"checkpoint": true}
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	})
	var entries int64
	for n := int64(0); n<<height < tree.N; n++ {
		width := 1 << height
		if rest := tree.N - n<<height; rest < int64(width) {
			width = int(rest)
		}
		name := path(tlog.Tile{H: height, L: -1, N: n, W: width})
		expected[name] = true
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		for i := 0; i < width; i++ {
			if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
				return fmt.Errorf("%s is cut off", name)
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			hashes, err := tlog.StoredHashes(entries, data[2:end], reader)
			if err != nil {
				return err
			}
			stored = append(stored, hashes...)
			data = data[end:]
			entries++
		}
		if len(data) != 0 {
			return fmt.Errorf("%s is too long", name)
		}
	}
	root := tlog.Hash(sha256.Sum256(nil)) // x/mod 0.7.0 gives zeros for the empty tree
	if tree.N > 0 {
		if root, err = tlog.TreeHash(tree.N, reader); err != nil {
			return err
		}
	}
	if root != tree.Hash {
		return errors.New("the entries do not lead to the signed root")
	}
	for _, t := range layout(tree.N) {
		want, err := tlog.ReadTileData(t, reader)
		if err != nil {
			return err
		}
		expected[path(t)] = true
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path(t))))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%s is wrong", path(t))
		}
	}
	if err := checkListing(dir, expected); err != nil {
		return err
	}
	if err := checkTiles(dir, tree, reader); err != nil {
		return err
	}
	fmt.Printf("ok %d entries, %d files\n", tree.N, len(expected))
	return nil
}

// layout lists the tiles of a static folder: tlog.NewTiles would add every narrower partial tile.
func layout(size int64) []tlog.Tile {
	var tiles []tlog.Tile
	for level := 0; size>>(level*height) > 0; level++ {
		hashes := size >> (level * height)
		for n := int64(0); n < hashes>>height; n++ {
			tiles = append(tiles, tlog.Tile{H: height, L: level, N: n, W: 1 << height})
		}
		if rest := int(hashes & (1<<height - 1)); rest > 0 {
			tiles = append(tiles, tlog.Tile{H: height, L: level, N: hashes >> height, W: rest})
		}
	}
	return tiles
}

func checkListing(dir string, expected map[string]bool) error {
	var found []string
	err := filepath.Walk(dir, func(name string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			relative, _ := filepath.Rel(dir, name)
			found = append(found, filepath.ToSlash(relative))
		}
		return err
	})
	if err != nil {
		return err
	}
	sort.Strings(found)
	for _, name := range found {
		if !expected[name] {
			return fmt.Errorf("%s does not belong here", name)
		}
	}
	return nil
}

// checkTiles proves entries from the tiles alone, as a client without the entries would.
func checkTiles(dir string, tree tlog.Tree, entries tlog.HashReader) error {
	tiles := tlog.TileHashReader(tree, dirTiles(dir))
	step := tree.N/97 + 1
	for i := int64(0); i < tree.N; i += step {
		proof, err := tlog.ProveRecord(tree.N, i, tiles)
		if err != nil {
			return err
		}
		leaf, err := entries.ReadHashes([]int64{tlog.StoredHashIndex(0, i)})
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, i, leaf[0]); err != nil {
			return err
		}
		if i > 0 {
			old, err := tlog.TreeHash(i, entries)
			if err != nil {
				return err
			}
			proof, err := tlog.ProveTree(tree.N, i, tiles)
			if err != nil {
				return err
			}
			if err := tlog.CheckTree(proof, tree.N, tree.Hash, i, old); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkProof(file, entryFile, logKey string, witnessKeys []string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	entry, err := os.ReadFile(entryFile)
	if err != nil {
		return err
	}
	head, checkpoint, _ := strings.Cut(string(data), "\n\n")
	lines := strings.Split(head, "\n")
	if lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("not a tlog-proof")
	}
	lines = lines[1:]
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		lines = lines[1:]
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return errors.New("no index")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "index "), 10, 64)
	if err != nil {
		return err
	}
	var proof tlog.RecordProof
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	tree, err := open([]byte(checkpoint), logKey, witnessKeys)
	if err != nil {
		return err
	}
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
		return err
	}
	fmt.Printf("ok entry %d of %d\n", index, tree.N)
	return nil
}
