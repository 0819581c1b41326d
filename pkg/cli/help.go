package cli

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
)

// exitCodesHelp is what the help of a command says of them that has none of its own.
const exitCodesHelp = `Exit codes: 0 all was done; 1 something failed, or input was broken; 2 wrong usage;
130 or 143 a second SIGINT or SIGTERM ended it at once.`

// writeHelp shows examples first: most people are looking for the one line to copy. It is no
// template: text/template looks methods up by their names, for which the linker would keep all
// methods of all types of Kubernetes.
func writeHelp(cmd *cobra.Command, _ []string) {
	var b strings.Builder
	if about := cmp.Or(cmd.Long, cmd.Short); about != "" {
		fmt.Fprintf(&b, "%s\n\n", trimRight(about))
	}
	if cmd.HasExample() {
		fmt.Fprintf(&b, "Examples:\n%s\n\n", cmd.Example)
	}
	local, inherited := cmd.LocalFlags(), cmd.InheritedFlags() // they are the command's once they were asked for
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "Usage:\n  %s COMMAND [flags]\n\nCommands:\n", cmd.CommandPath())
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				fmt.Fprintf(&b, "  %-*s %s\n", c.NamePadding(), c.Name(), c.Short)
			}
		}
	} else {
		fmt.Fprintf(&b, "Usage:\n  %s\n", cmd.UseLine())
	}
	const columns = 100
	if local.HasAvailableFlags() {
		fmt.Fprintf(&b, "\nFlags:\n%s\n", trimRight(local.FlagUsagesWrapped(columns)))
	}
	if inherited.HasAvailableFlags() {
		fmt.Fprintf(&b, "\nFlags of every command:\n%s\n", trimRight(inherited.FlagUsagesWrapped(columns)))
	}
	fmt.Fprintf(&b, "\n%s\n", cmp.Or(cmd.Annotations[ownExitCodes], exitCodesHelp))
	fmt.Fprint(cmd.OutOrStdout(), b.String()) // checkedWriter has the error
}

func trimRight(text string) string { return strings.TrimRightFunc(text, unicode.IsSpace) }
