package cli

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/text"
)

// answerFormat is how a question is answered.
type answerFormat string

const (
	formatTable answerFormat = ""
	formatJSON  answerFormat = "json"
)

func (f *answerFormat) addFlag(fs *pflag.FlagSet) {
	fs.StringVarP((*string)(f), "output", "o", "", "json for a program, as docs/json.md has it; default for people")
}

func (f *answerFormat) validate() error {
	if *f != formatTable && *f != formatJSON {
		return fmt.Errorf("--output: %q is none; there is json", string(*f))
	}
	return nil
}

// printNone prints that there are no changes, where a program reads it.
func (f *answerFormat) printNone(a *app) error {
	if *f == formatJSON {
		return a.printJSON(history.ChangesJSON{Changes: []history.ChangeJSON{}})
	}
	return nil
}

func (a *app) printJSON(v any) error {
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Out, "%s\n", out)
	return err
}

// wholeJSON is a list of one change with its spans.
func wholeJSON(t *spans.Trace, since time.Time) history.ChangesJSON {
	c := history.Change{Summary: history.Summarize(t), Spans: t.Spans}
	return history.ChangesJSON{Changes: []history.ChangeJSON{asProven(c.JSON(), t.Root())}, EventsSince: timeOrNone(since)}
}

// outcomeUnknown is the outcome in JSON of a change of which is not known how it ended.
const outcomeUnknown = "unknown"

// asProven is a change without an outcome that the cluster does not prove.
func asProven(c history.ChangeJSON, root *spans.Span) history.ChangeJSON {
	if !text.EndIsKnown(root) {
		c.Outcome = outcomeUnknown
	}
	return c
}

// listJSON are changes, those that began last first.
func listJSON(changes []spans.Trace, since time.Time) history.ChangesJSON {
	list := history.ChangesJSON{Changes: []history.ChangeJSON{}, EventsSince: timeOrNone(since)}
	for i := range changes {
		t := &changes[len(changes)-1-i]
		s := history.Summarize(t)
		list.Changes = append(list.Changes, asProven(s.JSON(), t.Root()))
	}
	return list
}

func timeOrNone(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
