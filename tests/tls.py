"""Keys for a Dask scheduler, its workers and its clients, as a user would make them."""

from pathlib import Path


def write_keys(folder):
    """The environment variables by which Dask finds keys that are written to this folder."""
    from distributed.security import Security

    made = Security.temporary()
    files = {"ca_file": made.tls_ca_file, "cert": made.tls_client_cert, "key": made.tls_client_key}
    found = {}
    for name, content in files.items():
        path = Path(folder, f"{name}.pem")
        path.write_text(content)
        roles = ("",) if name == "ca_file" else ("SCHEDULER__", "WORKER__", "CLIENT__")
        found |= {f"DASK_DISTRIBUTED__COMM__TLS__{role}{name.upper()}": str(path) for role in roles}
    return found


def settings(variables):
    """The same as settings of Dask in this process, which reads its environment only once."""
    return {name.removeprefix("DASK_").lower().replace("__", "."): value for name, value in variables.items()}
