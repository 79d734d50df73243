"""Where ``gongwen`` begins: the language, then the command, then what went wrong and how it ends.

An error is told in three lines (what, why, what to try) and the hub's number for the
request; with ``--json`` it is the problem object on stderr. Exit codes: ``exits``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from clients.speech import _, plain, say, tell, use_language
from pki.text import Text


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line of this process and leave it with the command's exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run a command line; its exit code. Nothing is raised for what goes wrong in it."""
    use_language(_asked_language(arguments))
    # Help texts are made when the commands are loaded, so the language comes first.
    import typer
    from typer.exceptions import TyperException

    from clients.main import app

    as_json = "--json" in arguments
    try:
        code = app(list(arguments), prog_name="gongwen", standalone_mode=False)
    except TyperException as error:
        return _usage(error, as_json=as_json)
    except typer.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody to tell.
        sys.stderr.close()
        return 1
    except Exception as error:
        return _failure(error, as_json=as_json)
    return int(code) if isinstance(code, int) else 0


def _asked_language(arguments: Sequence[str]) -> str | None:
    for place, argument in enumerate(arguments):
        if argument == "--lang":
            return arguments[place + 1] if place + 1 < len(arguments) else None
        if argument.startswith("--lang="):
            return argument.removeprefix("--lang=")
    return None


def _usage(error: Exception, *, as_json: bool) -> int:
    code = int(getattr(error, "exit_code", 2))
    if as_json:
        _print_problem(
            {"code": "usage", "title": _("the command line cannot be understood"), "detail": str(error)}
        )
    else:
        show = getattr(error, "show", None)
        if callable(show):
            show(file=sys.stderr)
        else:
            tell(plain(str(error)))
    return code


def _failure(error: Exception, *, as_json: bool) -> int:
    from clients.errors import ApiError, HubError, remedy
    from clients.exits import exit_of

    code = getattr(error, "code", None)
    if not isinstance(code, str):
        return _unforeseen(error, as_json=as_json)
    mender = str(getattr(error, "mender", "operator"))
    sentence = _sentence(error)
    tried = say(remedy(code, mender))
    request_id = error.request_id if isinstance(error, HubError) else None
    if as_json:
        problem: dict[str, object] = {"code": code, "title": say(sentence), "mender": mender, "try": tried}
        if isinstance(error, ApiError):
            problem = {**error.problem.model_dump(mode="json", exclude_none=True), "try": tried}
        _print_problem(problem)
    else:
        what = plain(error.problem.title) if isinstance(error, ApiError) else say(sentence)
        tell(f"gongwen: {what} [{code}]")
        if isinstance(error, ApiError) and error.problem.detail:
            tell(f"  {_('why:')} {plain(error.problem.detail)}")
        tell(f"  {_('try:')} {tried}")
        if request_id is not None:
            tell(f"  {_('request:')} {plain(request_id)}")
    return int(exit_of(error))


def _sentence(error: Exception) -> Text:
    """The error's sentence, of ours (``text``) or of the ledger (``template`` and ``fields``)."""
    sentence = getattr(error, "text", None)
    if isinstance(sentence, Text):
        return sentence
    template, fields = getattr(error, "template", None), getattr(error, "fields", None)
    if isinstance(template, str) and isinstance(fields, tuple):
        return Text(template, fields)
    return Text("{detail}", (("detail", str(error)),))


def _unforeseen(error: Exception, *, as_json: bool) -> int:
    """A file that cannot be had, or a fault of ours: said plainly; the trace where asked for."""
    import os

    if isinstance(error, OSError):
        detail = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        code = "file"
    else:
        detail = f"{type(error).__name__}: {error}"
        code = "internal"
    if os.environ.get("GONGWEN_TRACE"):
        raise error
    if as_json:
        _print_problem({"code": code, "title": detail, "mender": "unit" if code == "file" else "operator"})
    else:
        tell(f"gongwen: {plain(detail)} [{code}]")
        if code == "internal":
            tell(
                f"  {_('try:')} {_('run it again with GONGWEN_TRACE=1 and send the trace to the developers')}"
            )
    return 1


def _print_problem(problem: dict[str, object]) -> None:
    print(json.dumps(problem, ensure_ascii=False, default=str), file=sys.stderr)


if __name__ == "__main__":
    main()
