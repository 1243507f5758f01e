#!/bin/sh
# Measures this machine and writes the folder signet-report beside this script. Needs a GPU driver and nothing else.
# Options: ./report.sh --help, such as --device NAME or --minutes 60. Run it again to resume an interrupted report.
cd "$(dirname "$0")" || exit 1
exec ./signet report "$@"
