"""Make the committed font subsets in ``signing/fonts/`` out of the upstream Noto Serif SC files.

Run by hand when the upstream fonts or the set of characters change; installing
gongwen does not run it. The set: ASCII, every character of GB/T 2312-1980 (6,763
hanzi of both levels and the symbol rows that official paper uses), and some
punctuation that later standards added. Layout tables, hinting and glyph names
are dropped: the drawing code places every character itself.

    python tools/make_fonts.py PACKAGE_FOLDER

PACKAGE_FOLDER is the unpacked ``@expo-google-fonts/noto-serif-sc`` package. The
same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

OUT = Path(__file__).resolve().parent.parent / "signing" / "fonts"

SOURCES = {
    "gongwen-serif-regular.ttf": "400Regular/NotoSerifSC_400Regular.ttf",
    "gongwen-serif-bold.ttf": "700Bold/NotoSerifSC_700Bold.ttf",
}

# Beyond GB/T 2312: what official paper and names need and the old standard lacks.
EXTRA = "〔〕〈〉《》「」『』【】—–…·•‘’“”★☆※℃№￥¥￠￡§©®°±×÷≤≥≠≈①②③④⑤⑥⑦⑧⑨⑩〇䶮喆堃瑄珺昇珮玥玘甯祎翀赟頔"

# Rows of GB/T 2312 that are kept: punctuation, numbers, full-width ASCII, and the hanzi.
# Kana, Greek, Cyrillic, bopomofo and box drawing (rows 4-9) are not.
ROWS = (*range(1, 4), *range(16, 88))


def characters() -> set[int]:
    """The code points of the subset."""
    points = set(range(0x20, 0x7F)) | {0xA0} | {ord(c) for c in EXTRA}
    for row in ROWS:
        for cell in range(1, 95):
            try:
                points.add(ord(bytes((0xA0 + row, 0xA0 + cell)).decode("gb2312")))
            except UnicodeDecodeError:
                continue
    return points


def make(source: Path, target: Path) -> None:
    """Write one subset; every asked character must be in the source."""
    options = subset.Options()
    options.hinting = False
    options.layout_features = []
    options.glyph_names = False
    options.notdef_outline = True
    options.recalc_timestamp = False
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    options.drop_tables += ["GPOS", "GSUB", "GDEF", "BASE", "STAT", "vhea", "vmtx", "gasp", "prep"]
    font = TTFont(source, recalcTimestamp=False)
    wanted = characters()
    lacking = wanted - set(font.getBestCmap())
    if lacking:
        print("not in the source:", "".join(map(chr, sorted(lacking))))
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=wanted - lacking)
    subsetter.subset(font)
    font["post"].formatType = 3.0
    font.save(target, reorderTables=True)
    data = target.read_bytes()
    print(
        target.name,
        len(data),
        "bytes,",
        font["maxp"].numGlyphs,
        "glyphs, sha256",
        hashlib.sha256(data).hexdigest(),
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    for name, path in SOURCES.items():
        make(Path(sys.argv[1]) / path, OUT / name)
