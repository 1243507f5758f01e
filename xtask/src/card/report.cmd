@echo off
rem Measures this machine and writes the folder signet-report beside this script. Needs a GPU driver and nothing else.
rem Options: report.cmd --help, such as --device NAME or --minutes 60. Run it again to resume an interrupted report.
cd /d "%~dp0"
signet.exe report %*
if errorlevel 1 pause
