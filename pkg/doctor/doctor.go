package doctor

import (
	"context"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"k8s.io/client-go/rest"

	"github.com/rollspan/rollspan/pkg/otlp/export"
)

// Status is what a Finding means.
type Status string

const (
	// OK is as it should be.
	OK Status = "ok"
	// Skipped was not looked at, and Found says why.
	Skipped Status = "skipped"
	// Warning is something that traces lose by, or that is to be known.
	Warning Status = "warning"
	// Failed is what rollspan does not do its job with.
	Failed Status = "failed"
)

// Finding is one thing that was looked at.
type Finding struct {
	// Check is what was looked at: server, version, clock, permissions, namespaces, events,
	// memory, leases, collector or data-dir.
	Check  string `json:"check"`
	Status Status `json:"status"`
	// Reason is what is wrong in one word, for programs; empty where nothing is.
	Reason string `json:"reason,omitempty"`
	// Found is what is right or wrong, and Do what to do, in words.
	Found string `json:"found"`
	Do    string `json:"do,omitempty"`
}

// Report is all that was found.
type Report struct {
	// Version is rollspan's; Go and Platform are what it was built with and for, and Client the
	// release of Kubernetes whose client it has.
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Client   string `json:"client,omitempty"`
	// Status is that of the worst Finding.
	Status   Status    `json:"status"`
	Findings []Finding `json:"findings"`
	// Grant is YAML of roles with all permissions that are missing.
	Grant string `json:"grant,omitempty"`
}

// Options say what rollspan is asked to do, and so what is looked at.
type Options struct {
	// Version is rollspan's.
	Version string
	// Config is how to reach the API server; nil, with ConfigError, where nobody knows.
	Config      *rest.Config
	ConfigError error
	// Namespaces are what is to be watched. Default: all.
	Namespaces []string
	// LeaseNamespace is where Leases are. Default: there are none. Elect says that replicas are
	// to be elected.
	LeaseNamespace string
	Elect          bool
	// Collector is where spans go; nil where they are printed.
	Collector *export.Config
	// DataDir is the journal's directory, which may take DataDirMaxBytes. Default: none.
	DataDir         string
	DataDirMaxBytes int64
	// Now is the clock. Default: the machine's.
	Now func() time.Time
}

// Examine looks at everything. It ends when ctx does, and takes what is not known by then for
// what does not answer.
func Examine(ctx context.Context, o Options) Report {
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &examination{Options: o}
	e.report = Report{Version: o.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Client: clientRelease()}
	if e.server(ctx) {
		e.permissions(ctx)
		e.namespaces(ctx)
		e.events(ctx)
		e.memory(ctx)
		e.leases(ctx)
	}
	e.collector(ctx)
	e.dataDir()
	e.report.Status = worst(e.report.Findings)
	return e.report
}

// examination is what Examine is at.
type examination struct {
	Options
	report Report
	// denied are the resources that may not be listed, by name.
	denied map[string]bool
}

func (e *examination) add(f Finding) { e.report.Findings = append(e.report.Findings, f) }

func (e *examination) ok(check, found string) {
	e.add(Finding{Check: check, Status: OK, Found: found})
}

func worst(all []Finding) Status {
	order := []Status{OK, Skipped, Warning, Failed}
	at := 0
	for _, f := range all {
		at = max(at, slices.Index(order, f.Status))
	}
	if order[at] == Skipped {
		return OK
	}
	return order[at]
}

// clientRelease is the release of Kubernetes that client-go is of: v0.36.3 is that of v1.36.3.
func clientRelease() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == "k8s.io/client-go" {
			return m.Version
		}
	}
	return ""
}

// everywhere is namespaces for lists: the empty name stands for all.
func (e *examination) everywhere() []string {
	if len(e.Namespaces) == 0 {
		return []string{""}
	}
	return e.Namespaces
}
