package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// suggestFlag adds the flag that was probably meant to the error about one
// that does not exist.
func suggestFlag(cmd *cobra.Command, err error) error {
	name, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return err
	}
	if best := nearestFlag(cmd, name); best != "" {
		err = fmt.Errorf("%w; did you mean --%s?", err, best)
	}
	return err
}

// nearestFlag is the flag of a command that is spelled most like a name, "" if none is.
func nearestFlag(cmd *cobra.Command, name string) string {
	best, distance := "", 3 // farther than two edits is another word
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if d := editDistance(name, f.Name); d < distance {
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
