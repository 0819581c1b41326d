package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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
	best, distance := "", 3 // farther than two edits is another word
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if d := editDistance(name, f.Name); d > 0 && d < distance { // itself is no help
			best, distance = f.Name, d
		}
	})
	return best
}

// editDistance is how many letters must be added, dropped or changed to make
// b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
