"""The configuration that the options before the command chose: a file, the lab's, or the one that is found."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from samaops.cli.global_options import Globals
from samaops.config import files, load, sites
from samaops.config.load import Configuration
from samaops.config.settings import Settings
from samaops.errors import ConfigurationError
from samaops.i18n import _
from samaops.lab.layout import Layout, default_directory
from samaops.site.shell_words import quoted
from samaops.site.site import Site


def find(globals_: Globals) -> Path:
    """Return the configuration file to use. Raises ConfigurationError."""
    if globals_.site is not None:
        return sites.find(globals_.site)
    if not globals_.lab:
        try:
            return load.find(globals_.config)
        except ConfigurationError as error:
            raise sites.which() or _or_the_lab(error) from None
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
    return sites.read(globals_.site) if globals_.site is not None else load.read(find(globals_))


def site(globals_: Globals, *, by_satellite: bool = False) -> Site:
    """Read and check the configuration, and return the site it is of. Raises ConfigurationError.

    ``by_satellite`` is for what can be done with a site that only its own control machine reaches; all else is refused.
    """
    configuration = read(globals_)
    satellite = configuration.settings.satellite
    if satellite is not None and not by_satellite:
        text = _("{site} is reached by its own control machine alone: log in there, and call samaops there")
        raise ConfigurationError(
            text.format(site=configuration.settings.site), hint=f"samaops ssh {quoted(satellite.server)}"
        )
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
            text = _(
                "{problem}. Your lab is there, and --lab chooses it; of your production: samaops config init"
            )
            return ConfigurationError(text.format(problem=error.message), hint="samaops --lab diagnose")
    return error
