"""Sphinx's settings: pages in MyST Markdown with executed examples, reference from docstrings."""

import hashlib
import os
import pathlib
import shutil
import sys

import recsim

HERE = pathlib.Path(__file__).parent
BUILD = HERE / "_build"
sys.path.insert(0, str(HERE / "_extensions"))

project = "recsim"
author = "The recsim maintainers"
version = release = recsim.__version__

extensions = [
    "myst_nb",
    "notfound.extension",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxext.opengraph",
    "gallery",
    "llms_txt",
    "native_math",
    "readable_reference",
    "registry_tables",
]
templates_path = ["_templates"]
# The last are included in pages.
exclude_patterns = ["_build", "_extensions", "_templates", "results/leaderboard"]

# The look.
html_theme = "furo"
html_title = f"recsim {release}"
html_short_title = "recsim"
html_logo = "_static/logo.svg"
html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_theme_options = {
    "sidebar_hide_name": False,
    "light_css_variables": {"color-brand-primary": "#3a5bc7", "color-brand-content": "#3a5bc7"},
    "dark_css_variables": {"color-brand-primary": "#8fa8ff", "color-brand-content": "#8fa8ff"},
}
html_math_renderer = "mathml"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Where the site is published, with its version; links within it need no address.
html_baseurl = os.environ.get("RECSIM_DOCS_URL", "")
ogp_site_url = html_baseurl or "/"
ogp_site_name = "recsim"
ogp_image = "_static/card.png"
ogp_image_alt = "The loop: an agent recommends a slate, a user chooses, responds and changes."
ogp_social_cards = {"enable": False}
notfound_urls_prefix = os.environ.get("RECSIM_DOCS_PREFIX", "/")

# Examples run from top to bottom, and a cell that fails fails the build. What they showed serves
# the next build too, as long as neither they nor the package has changed.
_source = hashlib.sha256()
for _path in sorted(pathlib.Path(recsim.__file__).parent.rglob("*.py")):
    _source.update(_path.read_bytes())
nb_execution_mode = "cache"
nb_execution_cache_path = str(BUILD / "executed" / _source.hexdigest()[:16])
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TQDM_DISABLE"] = "1"
# Where the pages find the committed results, and IPython its settings.
os.environ["RECSIM_DOCS"] = str(HERE)
os.environ["IPYTHONDIR"] = str(BUILD / "ipython")
_profile = BUILD / "ipython" / "profile_default"
_profile.mkdir(parents=True, exist_ok=True)
shutil.copyfile(HERE / "_extensions" / "kernel_config.py", _profile / "ipython_kernel_config.py")

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_preserve_defaults = True
add_module_names = False
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
viewcode_line_numbers = True
