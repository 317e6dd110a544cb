#!/bin/sh
# Writes the Python stubs of the API into clients/python/src/tokenservice/v1, and
# beside them the descriptors with the comments of the protos, for reflection.
#
#   protos/generate.sh           write them
#   protos/generate.sh --check   fail when the committed ones are not what would
#                                be written
#
# The compiler lives in an environment of its own (.venv-protos, made on first
# use by $PYTHON, default python3). Its versions are pinned in
# protos/requirements.txt, which `uv pip compile --generate-hashes --universal
# --no-emit-index-url --python-version 3.11 protos/requirements.in` writes.
set -eu

cd "$(dirname "$0")/.."

requirements=protos/requirements.txt
venv=.venv-protos
target=clients/python/src/tokenservice/v1

case "${1:-}" in
    "") check=false ;;
    --check) check=true ;;
    *)
        echo "usage: $0 [--check]" >&2
        exit 2
        ;;
esac

# The copy of the requirements is written last: an interrupted or outdated
# installation is made anew.
if ! cmp -s "$requirements" "$venv/requirements.txt"; then
    echo "protos: installing the compiler into $venv" >&2
    rm -rf "$venv"
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --only-binary :all: --require-hashes -r "$requirements"
    echo '*' >"$venv/.gitignore"
    cp "$requirements" "$venv/requirements.txt"
fi

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

mkdir -p "$out/tokenservice/v1"

# All files in one run and in one order: the stubs' import aliases depend on it.
PATH="$PWD/$venv/bin:$PATH" LC_ALL=C "$venv/bin/python" -m grpc_tools.protoc \
    --proto_path=protos \
    --python_out="$out" \
    --grpc_python_out="$out" \
    --mypy_out=quiet:"$out" \
    --mypy_grpc_out=quiet:"$out" \
    --include_source_info \
    --descriptor_set_out="$out/tokenservice/v1/descriptors.binpb" \
    $(cd protos && LC_ALL=C ls tokenservice/v1/*.proto)

# A file without a service has nothing to say in its gRPC stubs.
for proto in protos/tokenservice/v1/*.proto; do
    if ! grep -q '^service ' "$proto"; then
        stem=$out/tokenservice/v1/$(basename "$proto" .proto)
        rm -f "${stem}_pb2_grpc.py" "${stem}_pb2_grpc.pyi"
    fi
done

if $check; then
    # __init__.py is written by hand.
    if ! diff -r -x __init__.py -x __pycache__ "$target" "$out/tokenservice/v1" >&2; then
        echo "protos: the stubs in $target are stale: run protos/generate.sh and commit" >&2
        exit 1
    fi
    exit 0
fi

mkdir -p "$target"
rm -f "$target"/*_pb2.py "$target"/*_pb2.pyi "$target"/*_pb2_grpc.py "$target"/*_pb2_grpc.pyi
cp "$out"/tokenservice/v1/* "$target"/
