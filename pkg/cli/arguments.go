package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// noArguments is for a command that takes flags only.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%q: %s takes no arguments, only flags", args[0], cmd.CommandPath())
}
