# SPDX-License-Identifier: Apache-2.0
# Completion of shila(1) for bash.

_shila()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command= i

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--control | --egress) ((i++)) ;;
		-*) ;;
		*) command=${COMP_WORDS[i]}; break ;;
		esac
	done

	COMPREPLY=()
	if [[ $before == --control ]]; then
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
	fi
	if [[ $before == --egress ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(ls /run/netns 2>/dev/null)" -- "$word")
		return
	fi
	if [[ $command == run && $word != -* ]]; then
		# Behind the program, what it completes itself; without bash-completion its name at least.
		if declare -F _command_offset >/dev/null; then
			for ((i++; i < COMP_CWORD; i++)); do
				case ${COMP_WORDS[i]} in
				--egress | --control) ((i++)) ;;
				--) ((i++)); break ;;
				-*) ;;
				*) break ;;
				esac
			done
			_command_offset "$i"
		else
			mapfile -t COMPREPLY < <(compgen -c -- "$word")
		fi
		return
	fi
	case $command in
	'') i='run status peers paths flows events drops stop --control --json --help --version' ;;
	run) i='--ingress --egress --no-mptcp --root --control' ;;
	status) i='--drops --json --control' ;;
	paths) i='--why --json --control' ;;
	flows) i='--watch --json --control' ;;
	events) i='--once --json --control' ;;
	*) i='--json --control' ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$i" -- "$word")
}

complete -F _shila shila
