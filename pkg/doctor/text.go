package doctor

import (
	"fmt"
	"io"
	"strings"
)

// WriteText prints a report for people: a line a finding, below it what to do, and at the end
// the roles that are missing, as kubectl apply takes them.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "rollspan %s (%s, %s", r.Version, r.Go, r.Platform)
	if r.Client != "" {
		fmt.Fprintf(&b, ", client-go %s", r.Client)
	}
	b.WriteString(")\n")
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%-8s %-12s %s\n", f.Status, f.Check, oneLine(f.Found))
		if f.Do != "" {
			fmt.Fprintf(&b, "%-21s -> %s\n", "", oneLine(f.Do))
		}
	}
	switch r.Status {
	case OK:
		b.WriteString("\nAll is well.\n")
	case Warning:
		b.WriteString("\nrollspan does its job, but for what is said above.\n")
	case Failed:
		b.WriteString("\nrollspan does not do its job: see what failed above.\n")
	}
	if r.Grant != "" {
		fmt.Fprintf(&b, "\n# What is missing, to paste into a role that is bound to rollspan's user or service account:\n%s\n", r.Grant)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// oneLine keeps a finding on its line, whatever an error says.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
