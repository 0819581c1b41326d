package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rollspan/rollspan/test/bench/proc"
	"github.com/rollspan/rollspan/test/e2e/harness"
)

// silence is how long nothing may come before what is missing counts as lost: longer than
// a change waits for pods that stop slowly.
const silence = 2 * time.Minute

// A measurement is a run that goes on.
type measurement struct {
	*cluster
	programs
	dir    string
	sink   *sink
	census *census
	floor  *program
	ours   *watching
	result *Run
	// profiled is where rollspan serves profiles, and profile the file for one.
	profiled, profile string
}

// measureRun creates, rolls and deletes so many pods, with both programs watching.
func measureRun(ctx context.Context, p programs, dir string, pods, nodes int, v variant, restarts bool) (_ *Run, starts []Start, err error) {
	c, err := startCluster(ctx, p, dir, nodes)
	if err != nil {
		return nil, nil, err
	}
	defer c.plane.Stop()
	m := &measurement{cluster: c, programs: p, dir: dir, result: &Run{Pods: pods, Deployments: pods / podsPerDeployment, Nodes: nodes, With: v.name}}
	if m.sink, err = startSink(); err != nil {
		return nil, nil, err
	}
	defer m.sink.stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if m.census, err = c.take(ctx); err != nil {
		return nil, nil, err
	}
	flags := m.flags(v)
	profiled, err := m.profileFlags(v)
	if err != nil {
		return nil, nil, err
	}
	if m.floor, err = startFloor(ctx, p.floor, c.kubeconfig[floorUser]); err != nil {
		return nil, nil, err
	}
	defer m.floor.Kill()
	if m.ours, err = startRollspan(ctx, p.rollspan, c.kubeconfig[rollspanUser], m.sink.endpoint(), slices.Concat(flags, profiled)); err != nil {
		return nil, nil, err
	}
	defer func() { m.ours.Kill() }()

	if err := c.rest(ctx, m.census); err != nil {
		return nil, nil, fmt.Errorf("rollouts at rest: %w", err)
	}
	if err := m.untilTold(ctx, atRest, atRest); err != nil {
		return nil, nil, err
	}
	if err := m.underLoad(ctx); err != nil {
		return nil, nil, err
	}
	if restarts {
		if starts, err = m.restart(ctx, flags, slices.ContainsFunc(v.flags, isDataDir)); err != nil {
			return m.result, nil, err
		}
	}
	return m.result, starts, m.ours.end()
}

func isDataDir(flag string) bool { return strings.Contains(flag, dataDirFlag) }

// flags are those of the variant, with a directory where it wants one.
func (m *measurement) flags(v variant) []string {
	var out []string
	for _, flag := range v.flags {
		out = append(out, strings.ReplaceAll(flag, dataDirFlag, filepath.Join(m.dir, "data")))
	}
	return out
}

// profileFlags let a profile be taken, if one is wanted. They are for the process that is
// under load: another one, that starts beside it, cannot have its address.
func (m *measurement) profileFlags(v variant) ([]string, error) {
	if m.profile = v.profile; m.profile == "" {
		return nil, nil
	}
	addresses, err := harness.FreeAddresses(1)
	if err != nil {
		return nil, err
	}
	m.profiled = addresses[0]
	return []string{"--pprof-address", m.profiled}, nil
}

// takeProfile writes a profile of half a minute of a step, if one is wanted. A step that is over
// sooner is in it whole.
func (m *measurement) takeProfile(ctx context.Context, step string) error {
	if m.profile == "" {
		return nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.profiled+"/debug/pprof/profile?seconds=30", http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // it is only read
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: %s", response.Status)
	}
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(m.profile), 0o755); err != nil {
		return err
	}
	ext := filepath.Ext(m.profile)
	return os.WriteFile(strings.TrimSuffix(m.profile, ext)+"-"+step+ext, content, 0o644)
}

// untilTold waits until all pods that were, and so many rollouts and deletes, are told,
// or nothing comes any more.
func (m *measurement) untilTold(ctx context.Context, rollouts, deletes int) error {
	began := time.Now()
	return m.ours.until(ctx, func() (done bool) {
		m.sink.look(func(t *told, _ int64, last time.Time) {
			starts, stops := m.census.missing(t)
			done = starts == 0 && stops == 0 && len(t.rollouts) >= rollouts && len(t.deletes) >= deletes ||
				time.Since(last) > silence && time.Since(began) > silence
		})
		return done
	})
}

// underLoad is what the table is about.
func (m *measurement) underLoad(ctx context.Context) error {
	r := m.result
	usedByFloor, err := m.floor.cpu()
	if err != nil {
		return err
	}
	usedByOurs, err := m.ours.cpu()
	if err != nil {
		return err
	}
	before := m.usage()
	l := load{cluster: m.cluster, n: r.Deployments, generation: "a"}
	began := time.Now()
	floorBefore, oursBefore := usedByFloor, usedByOurs
	step := func(name string, do func() error) error {
		stepBegan := time.Now()
		if err := do(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		took := time.Since(stepBegan).Seconds()
		floor, err := m.floor.cpu()
		if err != nil {
			return err
		}
		ours, err := m.ours.cpu()
		s := Step{Until: name, Seconds: took, CPUSeconds: (ours - oursBefore).Seconds(), FloorCPUSeconds: (floor - floorBefore).Seconds()}
		floorBefore, oursBefore = floor, ours
		r.Steps = append(r.Steps, s)
		fmt.Fprintf(os.Stderr, "cost: %s after %s, CPU %.1f s beside %.1f s\n", name, time.Since(began).Round(time.Second), s.CPUSeconds, s.FloorCPUSeconds)
		return err
	}
	profiled := func(name string, do func() error) error {
		profile := make(chan error, 1)
		go func() { profile <- m.takeProfile(ctx, name) }()
		return errors.Join(step(name, do), <-profile)
	}
	if err := step("created", func() error { return l.create(ctx) }); err != nil {
		return err
	}
	if err := profiled("rolled", func() error { return l.roll(ctx) }); err != nil {
		return err
	}
	if err := profiled("deleted", func() error { return l.delete(ctx, m.census) }); err != nil {
		return err
	}
	r.LoadSeconds = time.Since(began).Seconds()
	rollouts, deletes := atRest+2*l.n, atRest+l.n
	if err := step("told", func() error { return m.untilTold(ctx, rollouts, deletes) }); err != nil {
		return err
	}
	if r.Floor, err = m.floor.cost(usedByFloor); err != nil {
		return err
	}
	if r.Rollspan, err = m.ours.cost(usedByOurs); err != nil {
		return err
	}
	r.SpansInLoad, r.BytesInLoad = m.usage().spans-before.spans, m.usage().bytes-before.bytes
	r.SpansPerSecond = float64(r.SpansInLoad) / time.Since(began).Seconds()
	m.note(rollouts, deletes)
	values, err := proc.Scrape(ctx, m.ours.metrics)
	r.Observations, r.QueueWaits = int64(values["rollspan_observations_total"]), int64(values["rollspan_queue_waits_total"])
	r.Relists, r.JournalBytes = int64(values["rollspan_relists_total"]), int64(values["rollspan_journal_bytes"])
	if err != nil {
		return err
	}
	if err := m.floor.end(); err != nil {
		return err
	}
	if r.WatchBytes, err = m.floor.received(); err != nil {
		return err
	}
	if r.GzipShare, err = m.sink.gzipShare(); err != nil {
		return err
	}
	log, err := os.Open(m.audit)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // it is only read
	if r.Requests, err = parseAudit(log); err != nil {
		return err
	}
	return sameWatches(r.Requests)
}

// usage is what has come over the wire.
func (m *measurement) usage() (u struct {
	spans int
	bytes int64
},
) {
	m.sink.look(func(t *told, bytes int64, _ time.Time) { u.spans, u.bytes = t.spans, bytes })
	return u
}

// note takes down what was told, of what there was.
func (m *measurement) note(rollouts, deletes int) {
	created, gone := m.census.count()
	r := m.result
	m.sink.look(func(t *told, _ int64, _ time.Time) {
		starts, stops := m.census.missing(t)
		r.Starts, r.Stops = Told{created, created - starts}, Told{gone, gone - stops}
		r.Rollouts, r.Deletes = Told{rollouts, len(t.rollouts)}, Told{deletes, len(t.deletes)}
		r.EventsLate = m.census.lateness()
		r.LagAtRest, r.LagUnderLoad = newLag(t.lags(restPrefix)), newLag(t.lags(loadPrefix))
		r.LogRecords, r.LogBytes = t.records, t.recordBytes
		for _, n := range t.perSecond {
			r.MostSpansPerSecond = max(r.MostSpansPerSecond, n)
		}
	})
}

func (p *program) cost(before time.Duration) (c Cost, err error) {
	used, err := p.cpu()
	if err != nil {
		return c, err
	}
	c.CPUSeconds = (used - before).Seconds()
	c.PeakBytes, c.EndBytes, err = proc.Memory(p.Pid())
	return c, err
}

// firstListsOfFloor is a Start.What.
const firstListsOfFloor = "first lists, do-nothing watcher"

// restart fills the cluster again, and measures what it takes each program to start with
// that: the first lists of both, and the recovery of what a rollspan with a data
// directory knew when it was killed.
func (m *measurement) restart(ctx context.Context, flags []string, recovers bool) (out []Start, err error) {
	l := load{cluster: m.cluster, n: m.result.Deployments, generation: "b"}
	if err := l.create(ctx); err != nil {
		return nil, err
	}
	if err := m.untilTold(ctx, atRest+3*l.n, atRest+l.n); err != nil {
		return nil, err
	}
	add := func(what string, p *program) error {
		s := Start{Pods: m.result.Pods, What: what, Seconds: time.Since(p.started).Seconds()}
		used, err := p.cpu()
		if err != nil {
			return err
		}
		s.CPUSeconds = used.Seconds()
		s.PeakBytes, _, err = proc.Memory(p.Pid())
		out = append(out, s)
		return err
	}
	floor, err := startFloor(ctx, m.programs.floor, m.kubeconfig[floorUser])
	if err != nil {
		return nil, err
	}
	defer floor.Kill()
	if err := add(firstListsOfFloor, floor); err != nil {
		return out, err
	}
	if !recovers {
		again, err := startRollspan(ctx, m.programs.rollspan, m.kubeconfig[rollspanUser], m.sink.endpoint(), flags)
		if err != nil {
			return out, err
		}
		defer again.Kill()
		return out, add("first lists, rollspan", again.program)
	}
	m.ours.Kill()
	if m.ours, err = startRollspan(ctx, m.programs.rollspan, m.kubeconfig[rollspanUser], m.sink.endpoint(), flags); err != nil {
		return out, err
	}
	if err := add("recovery and first lists, rollspan", m.ours.program); err != nil {
		return out, err
	}
	values, err := proc.Scrape(ctx, m.ours.metrics)
	s := &out[len(out)-1]
	s.RecoverySeconds, s.Recovered = values["rollspan_journal_recovery_seconds"], int64(values["rollspan_journal_recovered_observations"])
	return out, err
}
