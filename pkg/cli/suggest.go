package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rollspan/rollspan/pkg/internal/spelling"
)

// suggestFlag adds the flag that was probably meant to the error about one
// that does not exist, and says what a flag takes that has a wrong value.
func suggestFlag(cmd *cobra.Command, err error) error {
	err = plainValue(err)
	name, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return err
	}
	if best := nearestFlag(cmd, name); best != "" {
		err = fmt.Errorf("%w; did you mean --%s?", err, best)
	}
	return err
}

// plainValue says what a flag takes in the place of what Go says of a value that does not parse.
func plainValue(err error) error {
	var wrong *pflag.InvalidValueError
	if !errors.As(err, &wrong) {
		return err
	}
	takes := map[string]string{
		"bool": "true or false", "int": "a whole number, such as 100", "float32": "a number, such as 20",
		"float64": "a number, such as 10", "duration": "a duration, such as 30s or 5m",
	}[wrong.GetFlag().Value.Type()]
	if takes == "" {
		return err // the flag's own words
	}
	return fmt.Errorf("--%s: %q is not %s", wrong.GetFlag().Name, wrong.GetValue(), takes)
}

// nearestFlag is the flag of a command that is spelled most like a name, "" if none is.
func nearestFlag(cmd *cobra.Command, name string) string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name != name { // itself is no help
			names = append(names, f.Name)
		}
	})
	return spelling.Nearest(name, names, 2) // farther than two edits is another word
}
