# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Completes uffdmr in bash, with or without bash-completion. What there is comes from
# what uffdmr says of itself: commands from its --help, options from that of each.

# _uffdmr_commands PROGRAM
_uffdmr_commands() {
	"$1" --help 2> /dev/null | sed -n '/^Commands:/,/^$/s/^  \([^ ]\{1,\}\) .*/\1/p'
}

# _uffdmr_options PROGRAM [COMMAND]: a line each, "-d --device=NAME" or "--json".
_uffdmr_options() {
	"$@" --help 2> /dev/null |
		sed -nE 's/^ {2,6}((-[^-]), )?(--[a-z][a-z-]*(\[?=[^ ]+)?).*/\2 \3/p'
}

# _uffdmr_argument OPTION < options: what it calls its argument; fails if it has none.
_uffdmr_argument() {
	local short long
	while read -r short long; do
		[[ -n $long ]] || long=$short
		if [[ $long == *=* && ($1 == "$short" || $1 == "${long%%[[=]*}") ]]; then
			echo "${long#*=}"
			return
		fi
	done
	return 1
}

# _uffdmr_files KIND TEXT: names that begin so; directories get their slash.
_uffdmr_files() {
	mapfile -t COMPREPLY < <(compgen -A "$1" -- "$2")
	compopt -o filenames 2> /dev/null
}

# _uffdmr_values OPTION ARGUMENT TEXT
_uffdmr_values() {
	case $1=$2 in
	-d=* | --device=*)
		mapfile -t COMPREPLY < <(compgen -W "$(ls /sys/class/infiniband 2> /dev/null)" -- "$3")
		;;
	*=FILE*)
		_uffdmr_files file "$3"
		;;
	*=DIR* | *=FOLDER*)
		_uffdmr_files directory "$3"
		;;
	*'|'*)
		mapfile -t COMPREPLY < <(compgen -W "${2//|/ }" -- "$3")
		;;
	esac
}

# _uffdmr_words TEXT WORD...: those that begin so. A value may follow "=" at once.
_uffdmr_words() {
	mapfile -t COMPREPLY < <(compgen -W "${*:2}" -- "$1")
	if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
		compopt -o nospace 2> /dev/null
	fi
}

# What follows "--" in "uffdmr run" is a command line.
_uffdmr_command_line() {
	local i
	[[ ${COMP_WORDS[1]} == run ]] || return 1
	for ((i = 2; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == -- ]] || continue
		if ((COMP_CWORD == i + 1)); then
			_uffdmr_files command "$1"
		else
			_uffdmr_files file "$1"
		fi
		return 0
	done
	return 1
}

_uffdmr() {
	local program=${1/#\~\//$HOME/} text=$2 options option argument before=
	local -a known

	COMPREPLY=()
	# "=" is a word of its own, if readline has not been told otherwise.
	option=${COMP_WORDS[COMP_CWORD - 1]}
	if [[ $text == = ]]; then
		text=
	elif [[ $option == = ]]; then
		option=${COMP_WORDS[COMP_CWORD - 2]}
	elif [[ $text == --*=* ]]; then
		option=${text%%=*}
		before=$option=
		text=${text#*=}
	fi
	_uffdmr_command_line "$text" && return
	if ((COMP_CWORD == 1)); then
		options=$(_uffdmr_options "$program")
	else
		options=$(_uffdmr_options "$program" "${COMP_WORDS[1]}")
		if argument=$(_uffdmr_argument "$option" <<< "$options"); then
			_uffdmr_values "$option" "$argument" "$text"
			COMPREPLY=("${COMPREPLY[@]/#/$before}")
			return
		fi
	fi
	if ((COMP_CWORD == 1)) && [[ $text != -* ]]; then
		mapfile -t known < <(_uffdmr_commands "$program")
	else
		mapfile -t known < <(sed -E 's/^.* //; s/\[?=.*/=/' <<< "$options")
	fi
	_uffdmr_words "$text" "${known[@]}"
}

complete -F _uffdmr uffdmr
