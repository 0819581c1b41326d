package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/internal/terminal"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/text"
)

// usualServer is where the page of a rollspan is on the machine that it runs on, or that
// `kubectl port-forward` brings it to.
const usualServer = "http://" + pageAddress

// server is a rollspan that runs, and has a page.
type server struct{ history.Client }

func (s *server) addFlags(fs *pflag.FlagSet, usual string) {
	words := "`URL` of the page (--ui-address) of a rollspan that runs, to ask that"
	if usual == "" {
		words += " instead of the cluster"
	}
	fs.StringVar(&s.Server, "server", usual, words)
	fs.StringVar(&s.TokenFile, "server-token-file", "", "`FILE` with the token that --server asks for (--ui-token-file)")
}

func (s *server) validate() error {
	if s.Server == "" {
		if s.TokenFile != "" {
			return errors.New("--server-token-file: it is of no use without --server; give that, too")
		}
		return nil
	}
	u, err := url.Parse(s.Server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("--server: %q is not the address of a page; write it as %s", s.Server, usualServer)
	}
	if s.TokenFile != "" {
		if _, err := os.Stat(s.TokenFile); err != nil {
			return fmt.Errorf("--server-token-file: %w", err)
		}
	}
	s.UserAgent = userAgent()
	s.HTTP = &http.Client{Timeout: serverTimeout}
	return nil
}

// serverTimeout is for how long an answer is waited for.
const serverTimeout = 30 * time.Second

// unanswered says what to do where a server does not answer.
func (s *server) unanswered(err error) error {
	code := 0
	if answer, ok := errors.AsType[*history.AnswerError](err); ok {
		code = answer.Code
	}
	if request, ok := errors.AsType[*url.Error](err); ok {
		err = request.Err // what was asked for is of use to nobody
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("--server: nobody listens at %s: start rollspan with --ui-address, or bring it here with 'kubectl port-forward -n rollspan deployment/rollspan 7655'", s.Server)
	case code == http.StatusUnauthorized && s.TokenFile != "":
		return fmt.Errorf("--server-token-file: the token in %s is not the one that %s asks for; give the file that it has as --ui-token-file", s.TokenFile, s.Server)
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return fmt.Errorf("--server: it asks for a token; name a file that has it with --server-token-file: %w", err)
	case code == http.StatusNotFound:
		return fmt.Errorf("--server: that is not the page of a rollspan, or of an older one: %w", err)
	default:
		return fmt.Errorf("--server: %w", err)
	}
}

// mostOfServer is how many changes a server is asked for at once.
const mostOfServer = 500

// askServer lists the changes that a server knows.
func (q *question) askServer(ctx context.Context, from *server) error {
	if q.namespace == "" {
		q.namespace = q.connection.Namespace()
	}
	list, err := q.changesAt(ctx, from)
	if err != nil {
		return from.unanswered(err)
	}
	if len(list.Changes) == 0 && q.kind == kindReplicaSet {
		q.say("What happens to a ReplicaSet of another workload, such as a Deployment, is that one's there, and its pods': ask about these.")
	}
	if q.format == formatJSON {
		return q.printJSON(list)
	}
	if len(list.Changes) == 0 {
		q.say("%s in namespace %s: %s knows of no change in the last %s", q.subject(), q.namespace, from.Server, q.since)
		return nil
	}
	if list.Next != "" {
		q.say("These are the last %d; -o json says where the next page begins.", len(list.Changes))
	}
	slices.Reverse(list.Changes) // as it was
	w := q.table()
	fmt.Fprintln(w, historyColumns)
	for i := range list.Changes {
		c := &list.Changes[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", c.Start.UTC().Format(time.RFC3339), tookSeconds(c), terminal.Line(changeWords(c)), terminal.Line(c.Outcome), terminal.Line(waitedWords(c)))
	}
	return w.Flush()
}

// changesAt are the last changes that a server knows. There the object of a change is the workload,
// also of what happens to one of its pods. The pod is named in the text of the row, as are others whose
// names begin with its own. So a page of the server's may have few rows of the pod, or none, and it is asked
// for more until there are as many as are wanted.
func (q *question) changesAt(ctx context.Context, from *server) (history.ChangesJSON, error) {
	query := history.Query{Filter: history.Filter{Namespaces: []string{q.namespace}, From: time.Now().Add(-q.since)}, Limit: mostOfServer}
	if q.kind != kindPod {
		query.Kinds, query.Names = []string{q.kind}, []string{q.name}
		return from.Changes(ctx, query)
	}
	query.Text = q.subject()
	all := []history.ChangeJSON{} // to programs an empty list is not null
	for {
		list, err := from.Changes(ctx, query)
		all = append(all, slices.DeleteFunc(list.Changes, func(c history.ChangeJSON) bool { return !q.isSubject(&c) })...)
		if list.Changes = all; err != nil || len(all) >= mostOfServer || list.Next == "" {
			return list, err
		}
		query.After = list.Next
	}
}

// isSubject reports whether a change is about the object that is asked about, or a part of it:
// "pod/web-0 container/web".
func (q *question) isSubject(c *history.ChangeJSON) bool {
	first, _, _ := strings.Cut(c.Subject, " ")
	return first == q.subject()
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// tookSeconds is how long a change took, or has taken.
func tookSeconds(c *history.ChangeJSON) string {
	took := seconds(c.Seconds)
	if c.End == nil {
		return took.Round(time.Second).String()
	}
	return took.Round(time.Millisecond).String()
}

// changeWords name a change: "rollout of revision 3".
func changeWords(c *history.ChangeJSON) string {
	if c.Revision > 0 && c.Change == string(attr.ChangeRollout) {
		return fmt.Sprintf("%s of revision %d", c.Change, c.Revision)
	}
	return c.Change
}

// waitedWords are what a change waited for most, and why it failed or waits.
func waitedWords(c *history.ChangeJSON) string {
	words := "-"
	if len(c.WaitedFor) > 0 {
		most := text.PhaseTime{Phase: attr.Phase(c.WaitedFor[0].Phase), Took: seconds(c.WaitedFor[0].Seconds)}
		if c.Seconds > 0 {
			most.Share = c.WaitedFor[0].Seconds / c.Seconds
		}
		words = most.String()
	}
	for _, why := range []string{c.WaitingFor, c.Message} {
		if why != "" {
			words += "; " + why
		}
	}
	return words
}
