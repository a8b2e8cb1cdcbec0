"""`/`: what a browser finds at the server's address."""

from html import escape


def page_of(*, version: str, url: str, docs_public: bool) -> str:
    """The page of a server of that version, which people find at that address."""
    known = "" if docs_public else " For whoever is signed in."
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Maestro ML</title>
<link rel="stylesheet" href="/pages/pages.css">
</head>
<body>
<main>
<h1>Maestro ML</h1>
<p>This server keeps the machine-learning projects of teams: their runs, by the MLflow client they
already use, and who may see them. Version {escape(version)}.</p>
<ul>
<li><a href="/docs">The API</a>: every call, for programs.{known}</li>
<li><a href="/device">Approve a terminal</a> that shows you a code.</li>
<li><a href="/reset-password">Get a new password</a>, if you have forgotten yours.</li>
</ul>
<h2>Sign in, in a terminal</h2>
<pre>maestro login --url {escape(url)}
maestro api-keys create my-laptop</pre>
<h2>Track runs</h2>
<p>The MLflow client takes the address and the key:</p>
<pre>export MLFLOW_TRACKING_URI={escape(url)}
export MLFLOW_TRACKING_TOKEN=mlp_...</pre>
</main>
</body>
</html>
"""
