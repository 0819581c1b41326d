package history

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// APIPath is below what an API is served.
const APIPath = "/api/v1/"

// API answers what was told, and how a running rollspan fares, as JSON below APIPath:
//
//	GET /api/v1/status         StatusJSON
//	GET /api/v1/changes        ChangesJSON; the fields of Query as parameters
//	GET /api/v1/changes/{id}   ChangeJSON with its spans
//
// It says nothing of who may ask: whoever mounts it does.
type API struct {
	Reader Reader
	// Status says how the program fares, but for the history and what is open, which are
	// filled in. Default: nothing more is said.
	Status func() StatusJSON
}

// maxOpen is how many changes that are in progress a status has.
const maxOpen = 200

// ServeHTTP answers.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		answer(w, http.StatusMethodNotAllowed, ErrorJSON{"it is only read, with GET"})
		return
	}
	var found any
	var err error
	switch path, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, APIPath), "/"); {
	case path == "status" && id == "":
		found, err = a.status(r.Context())
	case path == "changes" && id == "":
		found, err = a.changes(r.Context(), r.URL.Query())
	case path == "changes":
		found, err = a.change(r.Context(), id)
	default:
		err = fmt.Errorf("%w: there are %sstatus and %schanges", errNoPath, APIPath, APIPath)
	}
	var wrong *badRequest
	switch {
	case err == nil:
		answer(w, http.StatusOK, found)
	case errors.As(err, &wrong):
		answer(w, http.StatusBadRequest, ErrorJSON{err.Error()})
	case errors.Is(err, ErrNotFound), errors.Is(err, errNoPath):
		answer(w, http.StatusNotFound, ErrorJSON{err.Error()})
	default:
		answer(w, http.StatusServiceUnavailable, ErrorJSON{err.Error()})
	}
}

var errNoPath = errors.New("nothing is there")

// badRequest is an error in what was asked for.
type badRequest struct{ error }

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // who asked is gone
}

func (a *API) status(ctx context.Context) (StatusJSON, error) {
	s := StatusJSON{Ready: true}
	if a.Status != nil {
		s = a.Status()
	}
	if s.Watched == nil {
		s.Watched = []string{}
	}
	stats := a.Reader.Stats()
	s.History = stats.JSON()
	page, err := a.Reader.List(ctx, Query{Filter: Filter{Outcomes: []attr.Outcome{attr.OutcomeOpen}, From: time.Now().Add(-openAge)}, Limit: maxOpen})
	s.Open, s.OpenMore = rowsOf(page.Changes), page.Next != ""
	return s, err
}

// openAge is how old what was known of a change in progress may be: what ended before is not
// looked through.
const openAge = 24 * time.Hour

func rowsOf(list []Summary) []ChangeJSON {
	out := make([]ChangeJSON, len(list))
	for i := range list {
		out[i] = list[i].JSON()
	}
	return out
}

func (a *API) changes(ctx context.Context, values url.Values) (ChangesJSON, error) {
	q, err := QueryOf(values)
	if err != nil {
		return ChangesJSON{}, &badRequest{err}
	}
	if _, _, err := q.after(); err != nil {
		return ChangesJSON{}, &badRequest{fmt.Errorf("after: %w", err)}
	}
	page, err := a.Reader.List(ctx, q)
	return ChangesJSON{Changes: rowsOf(page.Changes), Next: page.Next}, err
}

func (a *API) change(ctx context.Context, text string) (ChangeJSON, error) {
	id, err := ParseID(text)
	if err != nil {
		return ChangeJSON{}, &badRequest{err}
	}
	c, err := a.Reader.Change(ctx, id)
	if err != nil {
		return ChangeJSON{}, err
	}
	return c.JSON(), nil
}

// Values are the parameters that ask for a Query: namespace, kind, name, change, outcome and
// reason, each as often as there are values; over, which is true; min-duration, as Go writes durations;
// from and to by RFC 3339; text; after; limit.
func (q *Query) Values() url.Values {
	v := url.Values{}
	for key, list := range q.lists() {
		for _, one := range list {
			v.Add(key, one)
		}
	}
	set := func(key, value string, is bool) {
		if is {
			v.Set(key, value)
		}
	}
	set("over", "true", q.Over)
	set("min-duration", q.MinDuration.String(), q.MinDuration != 0)
	set("from", q.From.UTC().Format(time.RFC3339Nano), !q.From.IsZero())
	set("to", q.To.UTC().Format(time.RFC3339Nano), !q.To.IsZero())
	set("text", q.Text, q.Text != "")
	set("after", q.After, q.After != "")
	set("limit", strconv.Itoa(q.Limit), q.Limit != 0)
	return v
}

func (q *Query) lists() map[string][]string {
	texts := map[string][]string{"namespace": q.Namespaces, "kind": q.Kinds, "name": q.Names, "reason": q.Reasons}
	for _, c := range q.Changes {
		texts["change"] = append(texts["change"], string(c))
	}
	for _, o := range q.Outcomes {
		texts["outcome"] = append(texts["outcome"], string(o))
	}
	return texts
}

// QueryOf reads what Values wrote. Other parameters are an error.
func QueryOf(v url.Values) (q Query, err error) {
	for key, list := range v {
		switch key {
		case "namespace":
			q.Namespaces = list
		case "kind":
			q.Kinds = list
		case "name":
			q.Names = list
		case "reason":
			q.Reasons = list
		case "change":
			for _, c := range list {
				q.Changes = append(q.Changes, attr.Change(c))
			}
		case "outcome":
			for _, o := range list {
				q.Outcomes = append(q.Outcomes, attr.Outcome(o))
			}
		case "over":
			q.Over, err = strconv.ParseBool(list[0])
		case "min-duration":
			q.MinDuration, err = time.ParseDuration(list[0])
		case "from":
			q.From, err = parseTime(list[0])
		case "to":
			q.To, err = parseTime(list[0])
		case "text":
			q.Text = list[0]
		case "after":
			q.After = list[0]
		case "limit":
			if q.Limit, err = strconv.Atoi(list[0]); err == nil && q.Limit < 1 {
				err = errors.New("it is at least 1")
			}
		default:
			err = errors.New("there is no such parameter")
		}
		if err != nil {
			return Query{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	return q, nil
}

// Client asks an API.
type Client struct {
	// Server is the address of a page: "http://127.0.0.1:7655".
	Server string
	// TokenFile has a token that the server asks for; empty for none.
	TokenFile string
	// HTTP is how to ask. Default http.DefaultClient.
	HTTP *http.Client
	// UserAgent says who asks.
	UserAgent string
}

// maxAnswer is more than an answer has, in bytes.
const maxAnswer = 256 << 20

// Status asks how a running rollspan fares.
func (c *Client) Status(ctx context.Context) (s StatusJSON, err error) {
	return s, c.get(ctx, "status", nil, &s)
}

// Changes asks for a page of changes.
func (c *Client) Changes(ctx context.Context, q Query) (list ChangesJSON, err error) {
	return list, c.get(ctx, "changes", q.Values(), &list)
}

// Change asks for a change with its spans.
func (c *Client) Change(ctx context.Context, id string) (change ChangeJSON, err error) {
	return change, c.get(ctx, "changes/"+url.PathEscape(id), nil, &change)
}

func (c *Client) get(ctx context.Context, path string, values url.Values, to any) error {
	address := strings.TrimSuffix(c.Server, "/") + APIPath + path
	if len(values) > 0 {
		address += "?" + values.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	if c.UserAgent != "" {
		request.Header.Set("User-Agent", c.UserAgent)
	}
	if c.TokenFile != "" {
		token, err := os.ReadFile(c.TokenFile)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	response, err := cmp.Or(c.HTTP, http.DefaultClient).Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // only read
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	if response.StatusCode != http.StatusOK {
		return &AnswerError{Address: address, Code: response.StatusCode, Message: messageOf(body)}
	}
	if err := json.Unmarshal(body, to); err != nil {
		return fmt.Errorf("%s: it does not answer as rollspan does: %w", address, err)
	}
	return nil
}

// messageOf is what a server says is wrong.
func messageOf(body []byte) string {
	var e ErrorJSON
	if json.Unmarshal(body, &e) == nil && e.Error != "" {
		return e.Error
	}
	const most = 200
	line, _, _ := bytes.Cut(bytes.TrimSpace(body), []byte("\n"))
	return string(line[:min(len(line), most)])
}

// AnswerError says that a server does not answer what it was asked.
type AnswerError struct {
	Address string
	Code    int
	Message string
}

// Error says what the server did.
func (e *AnswerError) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("%s: %d %s: %s", e.Address, e.Code, http.StatusText(e.Code), e.Message), ": ")
}

// parseTime says how a time is written where one cannot be read.
func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("%q is not a time, such as 2006-01-02T15:04:05Z", text)
	}
	return t, nil
}
