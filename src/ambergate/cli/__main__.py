"""`python -m ambergate.cli`: the `amber` command of this very interpreter."""

from ambergate.cli.main import main

if __name__ == "__main__":
    main(prog_name="amber")
