"""Every error that the package raises on purpose: one small class per failure, one common base.

A message says what was expected, what was found, and what to do about it.
"""

from __future__ import annotations


class TensionError(Exception):
    """Base of all errors raised on purpose; the command line prints them without a traceback."""


class InputError(TensionError):
    """An input, or one record of it, could not be read; the others still are.

    Parameters
    ----------
    where : str
        The input as the user named it, a member file, or a URL.
    problem : str
        What was expected and what was found.
    remedy : str
        What the user can do.
    line : int, optional
        Line (or record) number from 1, where there is one.
    """

    def __init__(self, where: str, problem: str, remedy: str, line: int | None = None) -> None:
        self.where, self.problem, self.remedy, self.line = where, problem, remedy, line
        place = where if line is None else f"{where}, line {line}"
        super().__init__(f"{place}: {problem} {remedy}")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str, int | None]]:
        """Let it pass from one process to another."""
        return type(self), (self.where, self.problem, self.remedy, self.line)


class OutputError(TensionError):
    """The output could not be written; whatever stood there before is untouched."""


class ResumeError(TensionError):
    """An interrupted run cannot be gone on with: it is another one, at work already, or damaged."""


class LedgerError(TensionError):
    """The ledger of stories seen is none, of another version, locked, or not writable."""


class UsageError(TensionError):
    """Arguments that do not fit together (exit code 2)."""


class ArtifactError(TensionError):
    """Base of the errors of loading a model."""


class ArtifactMissing(ArtifactError):
    """No model folder, or a file of it, where one was expected."""


class ArtifactTruncated(ArtifactError):
    """The model file is shorter than its manifest says."""


class ArtifactTampered(ArtifactError):
    """The model file's SHA-256 is not the one of its manifest."""


class ArtifactUntrusted(ArtifactError):
    """The model file holds types that are not on the exact list of trusted types."""


class ArtifactVersion(ArtifactError):
    """The model was saved under another library or codebook version."""


class TierMissing(ArtifactError):
    """The tier asked for needs an encoder that the model lacks, or libraries that are not installed."""


class ExtraMissing(TensionError):
    """A library of an extra is not installed.

    Parameters
    ----------
    extra : str
        The extra that brings it.
    library : str, optional
        What could not be imported.
    """

    def __init__(self, extra: str, library: str | None = None) -> None:
        super().__init__(
            f"expected the libraries of the extra '{extra}', found {library or 'one of them'} missing. "
            f"Install them: pip install 'tension-escalation[{extra}]', in a checkout pip install -e '.[{extra}]'."
        )
