#!/bin/sh
# Makes .venv, if need be, and installs a requirements file and this project into it:
#     install.sh PYTHON run|dev|bench|clients|elastalert
# In sh, for the first thing to find out is whether there is a Python that will do.
set -u
python=$1
set=$2

fail() {
	printf 'signals-proxy: error: %s\nsignals-proxy: hint: %s\n' "$1" "$2" >&2
	exit 2
}

if [ "$(cat .venv/made-in 2>/dev/null)" != "$PWD" ]; then
	command -v "$python" >/dev/null 2>&1 ||
		fail "there is no $python here" \
			"install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3"
	version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
		fail "$python does not run" "name another Python: make PYTHON=/path/to/python3"
	"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
		fail "Python 3.11 or newer is needed, and $python is Python $version" \
			"install a newer one and name it: make PYTHON=python3.12"
	"$python" -c 'import ensurepip, venv' 2>/dev/null ||
		fail "$python lacks its modules venv and ensurepip" \
			"install them (Debian and Ubuntu: apt-get install python$version-venv) and start again"
	echo "setting up .venv with Python $version"
	said=$("$python" -m venv --clear .venv 2>&1) ||
		fail ".venv cannot be made in $PWD: $(printf '%s' "$said" | tail -n 1)" \
			"make the folder writable, and room on its disk"
	printf '%s' "$PWD" >.venv/made-in
fi
exec .venv/bin/python requirements/install.py "$set"
