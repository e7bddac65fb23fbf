"""The static site."""
from pathlib import Path
def write(survey: Path) -> None:
    pass
