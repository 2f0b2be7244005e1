"""`digits push` and `digits pull`: runs to and from a bucket or another folder."""

from pathlib import Path
from typing import Annotated

import typer

from digits_cli.shell import AsJson, Runs, emit, errors_in_one_line, say
from digits_core import DEFAULT_RUNS

Force = Annotated[bool, typer.Option("--force", help="Overwrite what has changed on the other side.")]


@errors_in_one_line
def push(
    run: Annotated[str, typer.Argument(help="Name of a run.")],
    address: Annotated[str, typer.Argument(help="s3://BUCKET/FOLDER, gs://..., az://... or a folder.")],
    force: Force = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take the run from a machine that is lost, without waiting.")
    ] = False,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Send a run to a bucket or another folder.

    Sends what has changed. If the run has changed there since it was last pushed or pulled, nothing is sent and the
    difference is named. Credentials come from the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_REGION,
    AWS_ENDPOINT_URL for other stores; GOOGLE_SERVICE_ACCOUNT; AZURE_STORAGE_ACCOUNT_NAME. To send a run while it grows,
    give --push to sweep, resume, train, compare, confirm or ensemble.

    Examples:

        digits push first s3://lab/digits

        digits push first /mnt/backup --json

    """
    from digits_cli.printed.moving import push_document, push_lines
    from digits_core.remote.bucket import Bucket
    from digits_core.remote.copies import check_place, check_push, in_words, lease_on
    from digits_core.remote.copies import push as send
    from digits_core.remote.manifest import Files
    from digits_core.runs.ownership import sole_driver
    from digits_core.runs.run import Run

    folder, bucket = Run.open(runs, run).folder, Bucket(address)
    with sole_driver(folder):
        check_place(bucket, folder)
        files = Files(folder)
        check_push(bucket, files, force=force)  # before the lease: a refused take-over must end no run
        lease = lease_on(bucket, folder, take_over=take_over)
        try:
            done = send(bucket, files, lease, force=force)
        finally:
            lease.release()
    if done.overwritten:
        say(f"overwritten there: {in_words(done.overwritten)}")
    emit(push_document(bucket, run, done), push_lines(bucket, run, done), as_json=as_json)


@errors_in_one_line
def pull(
    address: Annotated[str, typer.Argument(help="ADDRESS/RUN, or ADDRESS for all runs there.")],
    force: Force = False,
    runs: Runs = Path(DEFAULT_RUNS),
    as_json: AsJson = False,
) -> None:
    """Fetch a run from a bucket or another folder.

    A run appears complete or not at all. If it has changed here since it was last pushed or pulled, it is left alone
    and the difference is named. Also fetches runs that older versions kept in a bucket.

    Examples:

        digits pull s3://lab/digits/first

        digits pull /mnt/backup --runs elsewhere --json

    """
    from digits_cli.printed.moving import pull_document, pull_lines
    from digits_core.remote.copies import found_at, in_words
    from digits_core.remote.copies import pull as fetch

    bucket, names = found_at(address)
    done = []
    for name in names:
        done.append(fetch(bucket, name, runs, force=force))
        if done[-1].overwritten:
            say(f"overwritten in {done[-1].folder}: {in_words(done[-1].overwritten)}")
    emit(pull_document(done), pull_lines(done), as_json=as_json)
