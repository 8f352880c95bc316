"""The configuration that the options before the command chose: a file, the lab's, or the one that is found."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from samaops.cli.global_options import Globals
from samaops.config import files, load
from samaops.config.load import Configuration
from samaops.config.settings import Settings
from samaops.errors import ConfigurationError
from samaops.i18n import _
from samaops.lab.layout import Layout, default_directory
from samaops.site.site import Site


def find(globals_: Globals) -> Path:
    """Return the configuration file to use. Raises ConfigurationError."""
    if not globals_.lab:
        try:
            return load.find(globals_.config)
        except ConfigurationError as error:
            raise _or_the_lab(error) from None
    layout = Layout(default_directory())
    path = layout.config_file
    if not files.exists(path):
        raise ConfigurationError(
            _("There is no lab: {path} does not exist").format(path=path), hint="samaops lab up"
        )
    os.environ.setdefault("ODBCSYSINI", str(layout.odbc))
    return path


def read(globals_: Globals) -> Configuration:
    """Read and check the configuration. Raises ConfigurationError."""
    return load.read(find(globals_))


def site(globals_: Globals) -> Site:
    """Read and check the configuration, and return the site it is of. Raises ConfigurationError."""
    configuration = read(globals_)
    return Site(configuration.settings, configuration=configuration.path)


def who_is_told(globals_: Globals) -> Site:
    """Return what of a configuration that cannot be used says who is to be told of that."""
    try:
        return Site(load.who_is_told(find(globals_)))
    except ConfigurationError:  # there is none
        return Site(Settings())


def _or_the_lab(error: ConfigurationError) -> ConfigurationError:
    """Point to the lab first where one is up: who has no configuration most likely forgot its option."""
    with suppress(ConfigurationError):
        if files.exists(Layout(default_directory()).config_file):
            hint = _(
                "samaops --lab ...   (your lab, which is there), or: samaops config init   (your production)"
            )
            return ConfigurationError(error.message, hint=hint)
    return error
