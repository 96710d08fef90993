#!/bin/sh
# Installs wheels in an image that is being built: `install.sh dependencies|own FOLDER [OPTION]`, an option of venv.
# Dependencies go into /opt/tidegate; what is ours goes below /own, a layer apart, so that a change of ours makes one small
# layer. An image's Python may have no pip; a wheel of pip can be run as it is, and lies with the dependencies.
set -eu
python=/opt/tidegate/bin/python
pip() {
  "$python" "$(echo /wheels/pip-*.whl)/pip" --no-input install --quiet --no-index --no-deps --no-compile "$@"
}
compiled() {
  "$python" -m compileall -q --invalidation-mode=unchecked-hash "$@"
}
case $1 in
dependencies)
  python3 -m venv --without-pip ${3-} /opt/tidegate
  find "$2" -name '*.whl' ! -name 'pip-*' >/requirements
  if [ -s /requirements ]; then pip --requirement /requirements; fi
  compiled /opt/tidegate/lib
  ;;
own)
  pip --no-warn-script-location --prefix=/own "$2"/*.whl
  compiled -s /own -p /opt/tidegate /own
  ;;
esac
