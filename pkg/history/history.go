package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// ErrNotFound says that there is no such change: it was never told, or it is so old that it was
// forgotten.
var ErrNotFound = errors.New("there is no such change")

// ID names a change. Changes that one deployer made share a trace, so the trace alone does not
// name one.
type ID struct {
	Trace trace.TraceID
	Root  trace.SpanID
}

// String is the ID as permalinks have it: both IDs in hex, with a hyphen between them.
func (id ID) String() string { return id.Trace.String() + "-" + id.Root.String() }

// MarshalText is String.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is ParseID.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}

// ParseID reads what String wrote.
func ParseID(text string) (id ID, err error) {
	traceID, root, _ := strings.Cut(text, "-")
	if id.Trace, err = trace.TraceIDFromHex(traceID); err == nil {
		id.Root, err = trace.SpanIDFromHex(root)
	}
	if err != nil {
		return ID{}, fmt.Errorf("%q is no ID of a change: it has the ID of a trace and that of its root in hex, with a hyphen between them", text)
	}
	return id, nil
}

// Store takes what was told.
type Store interface {
	Reader
	// Add takes a trace that the engine has handed out, from one goroutine. It never waits and
	// writes to nothing of the trace. What there is no room for is counted (Stats.Shed).
	Add(spans.Trace)
	// Close writes what waits until ctx is done, and lets go of what the Store holds. Add must
	// not be called after it.
	Close(ctx context.Context) error
}

// Reader answers what was told and what is in progress. It may be used by many goroutines at
// once. An answer is a snapshot: whoever has one may write to it, but for the spans.
type Reader interface {
	// List returns changes, those that began last first.
	List(context.Context, Query) (Page, error)
	// Change returns a whole change: ErrNotFound if there is none with the ID.
	Change(context.Context, ID) (*Change, error)
	// Trace returns the changes that share a trace, in order of their begin: mostly one.
	// ErrNotFound if there is none.
	Trace(context.Context, trace.TraceID) ([]Summary, error)
	// Before returns the newest change of the same object that began before the one with the
	// ID, and that matches the filter: ErrNotFound if there is none. What is in progress does
	// not count.
	Before(context.Context, ID, Filter) (Summary, error)
	// Facets counts what a filter may ask for, of the changes that match one.
	Facets(context.Context, Filter) (Facets, error)
	// Overview says what happened between two times.
	Overview(context.Context, OverviewQuery) (*Overview, error)
	// Wait returns when anything was added since it returned this number, or when ctx is done,
	// with a number for the next call. Zero returns at once. What is in progress moves without
	// it: ask for that by time.
	Wait(ctx context.Context, since uint64) uint64
	// Stats are the counters so far.
	Stats() Stats
}

// Options are those of a Store.
type Options struct {
	// MaxAge is how long a change is kept after it ended. Default DefaultMaxAge; negative is for
	// ever, as recordings may be of any time.
	MaxAge time.Duration
	// MaxBytes is how much all of them may take, as they are kept. Default: of memory
	// DefaultMemoryBytes, of a disk DefaultDiskBytes.
	MaxBytes int64
	// InProgress returns a preview of each change that is open: see causality.Engine. It is
	// asked whenever somebody lists changes, from many goroutines. Default: nothing is in
	// progress.
	InProgress func(context.Context) ([]spans.Trace, error)
	// Now is what ages are counted from. Default time.Now.
	Now func() time.Time
	// Log is where it is said that the history is not kept, and why. Default: nowhere.
	Log *slog.Logger
}

// Bounds of a Store by default.
const (
	DefaultMaxAge      = 14 * 24 * time.Hour
	DefaultMemoryBytes = 32 << 20
	DefaultDiskBytes   = 512 << 20
)

// Stats are the counters of a Store.
type Stats struct {
	// Changes are those that are kept, Bytes what all takes that is kept.
	Changes, Bytes int64
	// Oldest is when the oldest of them ended; zero without any.
	Oldest time.Time
	// Forgotten are the changes that were dropped as they were too old or took too much.
	Forgotten int64
	// Shed are the traces that there was no room for: they came quicker than they could be kept.
	Shed int64
	// Failed are the traces that could not be kept. Trouble says why at last, and is empty once
	// one could be kept again.
	Failed  int64
	Trouble string
}

// Filter says which changes are meant. The zero value means all. In each list, one value is
// enough.
type Filter struct {
	Namespaces []string
	// Kinds and Names are those of the object that changed, as Summary has them. What is owned
	// by it matches too where its rows have an owner: the Jobs of a CronJob.
	Kinds, Names []string
	Changes      []attr.Change
	// Outcomes of what is in progress are attr.OutcomeOpen.
	Outcomes []attr.Outcome
	// Over leaves out what is in progress.
	Over    bool
	Reasons []string
	// MinDuration is how long the change took at least.
	MinDuration time.Duration
	// From and To bound a time of which the change has a part: it ended at From or later, and
	// began before To. Zero is no bound.
	From, To time.Time
	// Text has words that are all in what the row says, in whatever case.
	Text string
}

// Query is a Filter and a page of what matches.
type Query struct {
	Filter
	// After is the Next of the page before. Empty is the first page.
	After string
	// Limit is how many changes a page has at most. Default 100, at most 1,000.
	Limit int
}

// Page is a part of a list.
type Page struct {
	Changes []Summary
	// Next is where the next page begins; empty after the last one. It stays right whatever is
	// added or forgotten meanwhile.
	Next string
}

// Change is a change with all of its spans.
type Change struct {
	Summary
	// Spans are those that were told so far, the root first, then in the order in which they
	// were told. Nobody may write to them.
	Spans []spans.Span
}

// Facets are the values that changes have, the most frequent first, at most maxFacet of each.
type Facets struct {
	Namespaces, Kinds, Names, Changes, Outcomes, Reasons []Facet
}

// Facet is a value and how many changes have it.
type Facet struct {
	Value string
	Count int
}

// maxFacet is how many values of one thing are counted.
const maxFacet = 500
