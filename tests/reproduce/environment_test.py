import importlib
import sys

import keras

from keras_pixdt.reproduce import environment

CODE = '''"""A module."""
# A comment.
X = 1  #: documented
"""What X is."""

def f(a):
    """A function."""
    return a + X
'''


def version(tmp_path, text):
    path = tmp_path / "module.py"
    path.write_text(text, "utf-8")
    return environment._code(path)


def test_comments_docstrings_and_layout_do_not_count_but_code_does(tmp_path):
    bare = "X=1\ndef f( a ):\n  return a+X\n"
    assert version(tmp_path, CODE) == version(tmp_path, bare)
    assert version(tmp_path, CODE) != version(tmp_path, CODE.replace("a + X", "a - X"))


def test_what_scores_is_not_part_of_what_trains():
    assert environment.code_version() != environment.code_version(scores=True)
    assert environment.code_version() == environment.code_version()


def test_a_module_has_a_version_of_its_own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for code in (CODE, CODE.replace("A module", "The module"), CODE.replace("a + X", "a - X")):
        (tmp_path / "module_of_a_test.py").write_text(code, "utf-8")
        importlib.import_module("module_of_a_test")
        found.append(environment.module_version("module_of_a_test"))
    monkeypatch.delitem(sys.modules, "module_of_a_test")
    assert found[0] == found[1] != found[2]


def test_a_digest_is_of_contents_not_of_order():
    assert environment.digest(a=1, b=[2, 3]) == environment.digest(b=[2, 3], a=1)
    assert environment.digest(a=1) != environment.digest(a=2)


def test_versions_name_the_backend():
    found = environment.made_with()
    assert found["versions"]["backend"] == keras.backend.backend()
    assert found["versions"]["keras"] == keras.__version__
