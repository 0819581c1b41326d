package soak

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/rollspan/rollspan/test/e2e/harness"
)

// row is a row of the table: a rollspan that is disturbed in one way.
type row struct {
	name string
	// dataDir and lease say what it has to go on with, and replicas how many there are; default 1.
	dataDir, lease bool
	replicas       int
	byHTTP         bool
	more           []string
	// times is how often it is disturbed, of how often the table says, and apart how long at
	// least from one time to the next. Of how often the table says it is apartInSoak, if that is set.
	times, inSoak      int
	apart, apartInSoak time.Duration
	disturb            func(ctx context.Context, r *running)
	// before and behind are done before it is started, and when nothing changes any more.
	before, behind func(r *running)
	// tells has its Events sent as log records, too, and its changes to a webhook.
	tells bool
	// small is the size of the data directory's disk, as mount has it.
	small string
	// whole says that of each change there is something to tell: the API server has all writes.
	whole bool
	// exact says that all that is expected arrives, and nothing else: where the process was not
	// there, and where a list says what happened, some steps are not proven.
	exact bool
}

// running is a row, with what it has.
type running struct {
	row
	t         testing.TB
	world     *world
	collector *collector
	listener  *listener // nil if it does not tell
	api       *apiServer
	dir       string
	random    *rand.Rand
	programs  []*harness.Program
	said      strings.Builder // by those that are gone
	disturbed atomic.Int64
	tooEarly  atomic.Int64 // of these, how often it had not caught up; see catchesUp
	killed    func()       // while it is not there; nil for nothing
	token     int
}

// table is what docs/reliability.md has.
func table() []row {
	const every = 5 * time.Second
	down := func(ctx context.Context, r *running) {
		r.api.down()
		r.wait(ctx, 2*time.Second, 4*time.Second)
		r.api.up()
	}
	badly := func(how ...manner) func(*running) {
		return func(r *running) {
			r.collector.behave(func() manner { return how[rand.IntN(len(how))] }) //nolint:gosec // Nothing secret.
		}
	}
	well := func(r *running) { r.collector.behave(nil) }
	return []row{
		{name: undisturbed, tells: true},
		{name: "kill -9, data directory", dataDir: true, tells: true, times: 4, inSoak: 20, apart: every, disturb: killAndStart, whole: true},
		{name: "kill -9, pods expired (410), data directory", dataDir: true, times: 1, inSoak: 5, apart: every, disturb: killAndExpire},
		{name: "kill -9, data directory and Lease", dataDir: true, lease: true, tells: true, times: 3, inSoak: 20, apart: every, disturb: killAndStart, whole: true},
		{name: "replaced, Lease only", lease: true, times: 1, inSoak: 5, apart: 40 * time.Second, disturb: killAndStart},
		// A standby takes over without loss what it has seen whole: it is there when the change begins,
		// which is told a minute or more after its end.
		{name: "leader killed", lease: true, replicas: 2, times: 1, inSoak: 10, apart: 40 * time.Second, apartInSoak: 150 * time.Second, disturb: killLeader},
		{name: "both killed", lease: true, replicas: 2, times: 1, inSoak: 3, apart: 60 * time.Second, disturb: killAndStart},
		{name: "SIGTERM, data directory", dataDir: true, times: 2, inSoak: 10, apart: every, disturb: stopAndStart, whole: true},
		{name: "SIGTERM without a collector, data directory", dataDir: true, lease: true, times: 2, inSoak: 10, apart: every, disturb: stopWithBacklog, whole: true},
		{name: "SIGTERM, Lease only", lease: true, times: 1, inSoak: 5, apart: 40 * time.Second, disturb: stopAndStart},
		{name: "collector down all the time, then up", before: func(r *running) { r.collector.down() }, behind: func(r *running) { r.collector.up() }, exact: true},
		{name: "collector slow", more: []string{"--otlp-timeout", impatient}, before: badly(takes, takesSlowly, forgetsTime), behind: well, exact: true},
		{name: "429 with RetryInfo (gRPC)", before: badly(throttles, throttles, takes), behind: well, exact: true},
		{name: "429 with Retry-After (HTTP)", byHTTP: true, before: badly(throttles, throttles, takes), behind: well, exact: true},
		{name: "collector takes half, or all with a warning", before: badly(halfTakes, warns, fails), behind: well, exact: true},
		{name: "connection reset in mid-request", byHTTP: true, before: badly(breaksOff, hangsUp, takes), behind: well, exact: true},
		{name: "API server down", times: 3, inSoak: 10, apart: every, disturb: down, exact: true},
		{name: "watch cache expired (410)", times: 4, inSoak: 20, apart: every, disturb: func(_ context.Context, r *running) { r.api.expire() }},
		{name: "watches closed every second", before: func(r *running) { r.api.watchFor.Store(int64(time.Second)) }, behind: func(r *running) { r.api.watchFor.Store(0) }, exact: true},
		// The API server remembers all of the last minute.
		{name: "500s", times: 1, inSoak: 1, apart: every, exact: *fiveHundreds < time.Minute, disturb: func(ctx context.Context, r *running) {
			r.api.failing.Store(true)
			r.api.cutAll()
			r.wait(ctx, *fiveHundreds, *fiveHundreds)
			r.api.failing.Store(false)
		}},
		{name: "token expired", times: 2, inSoak: 5, apart: 2 * every, disturb: expireToken},
		{name: "stopped (SIGSTOP)", times: 1, inSoak: 5, apart: every, disturb: stopForAWhile, exact: true},
		{name: "disk full", dataDir: true, small: "4m", times: 1, inSoak: 1, apart: every, disturb: fillDisk, exact: true},
	}
}

// wait waits for a random time.
func (r *running) wait(ctx context.Context, least, most time.Duration) {
	if most > least {
		least += time.Duration(r.random.Int64N(int64(most - least)))
	}
	select {
	case <-time.After(least):
	case <-ctx.Done():
	}
}

// run disturbs until it has done so often enough, or ctx is done.
func (r *running) run(ctx context.Context) {
	times, apart := r.times, r.apart
	if *inFull {
		times, apart = max(1, r.inSoak*(*percent)/100), cmp.Or(r.apartInSoak, r.apart)
	}
	for i := 0; r.disturb != nil && i < times; i++ {
		if i%2 == 1 && !r.catchesUp(ctx) && ctx.Err() == nil {
			r.tooEarly.Add(1)
		}
		if r.wait(ctx, apart, 2*apart); ctx.Err() != nil {
			return
		}
		r.disturb(ctx, r)
		r.disturbed.Add(1)
	}
}

// catchesUp waits until all of it have caught up, as it does every other time: one that is killed before
// that goes on behind what those before it were told, if it lives for long enough to read the journal.
// It reports whether they have within a minute.
func (r *running) catchesUp(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, p := range r.programs {
		if !says(ctx, "watching;", p) {
			return false
		}
	}
	return true
}

// howOften is how often it was disturbed, in words, and how often of these it had not caught up though it
// was waited for: what is lost then says less of one that is disturbed.
func (r *running) howOften() string {
	often := strconv.FormatInt(r.disturbed.Load(), 10)
	if n := r.tooEarly.Load(); n > 0 {
		often += fmt.Sprintf(", %d before it had caught up", n)
	}
	return often
}

// start starts one more rollspan. It settles as late as log records can wait for.
func (r *running) start() {
	args := []string{"run", "--kubeconfig", filepath.Join(r.dir, "kubeconfig"), "--cluster-name", r.cluster(), "--settle", "8s", "--log-level", "info"}
	args = append(append(args, r.collector.flags()...), r.more...)
	for i := range spaces {
		args = append(args, "-n", fmt.Sprintf("soak-%d", i))
	}
	if r.listener != nil {
		args = append(args, r.listener.flags()...)
	}
	if r.dataDir {
		args = append(args, "--data-dir", filepath.Join(r.dir, "data"))
	}
	if r.lease {
		args = append(args, "--leader-elect-namespace", r.leases())
	}
	if r.replicas > 1 {
		args = append(args, "--leader-elect")
	}
	p, err := harness.Start(r.world.binary, nil, args...)
	if err != nil {
		r.t.Error(err)
		return
	}
	r.t.Cleanup(p.Kill)
	r.programs = append(r.programs, p)
}

// leases is the namespace of its Leases, and cluster what its spans say.
func (r *running) leases() string  { return "leases-" + r.cluster() }
func (r *running) cluster() string { return fmt.Sprintf("row-%d", r.world.number(r.name)) }

// gone notes what a program has said that has ended.
func (r *running) gone(p *harness.Program) {
	r.said.WriteString(p.Stderr())
	r.said.WriteString("---- it is gone\n")
}

// killAndStart kills all of them at once, without a chance to say or save anything.
func killAndStart(ctx context.Context, r *running) {
	for _, p := range r.programs {
		p.Kill()
		r.gone(p)
	}
	n := len(r.programs)
	r.programs = nil
	if r.killed != nil {
		r.killed()
	}
	r.wait(ctx, 0, 3*time.Second)
	for range n {
		r.start()
	}
}

// killAndExpire kills it, and has the API server say that what it has seen of pods is too old to
// go on from.
func killAndExpire(ctx context.Context, r *running) {
	r.killed = func() { r.api.expireOnly("/pods") }
	killAndStart(ctx, r)
}

// killLeader kills the one that sends, and starts another when the standby has taken over.
func killLeader(ctx context.Context, r *running) {
	leader := -1
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		leader = slices.IndexFunc(r.programs, func(p *harness.Program) bool {
			said := p.Stderr()
			return strings.LastIndex(said, "the lease is held") > strings.LastIndex(said, "the lease is lost")
		})
		return leader >= 0, nil
	})
	if err != nil {
		if ctx.Err() == nil {
			r.t.Errorf("%s: nobody has led for a minute", r.name)
		}
		return
	}
	p := r.programs[leader]
	p.Kill()
	r.gone(p)
	r.programs = slices.Delete(r.programs, leader, leader+1)
	r.start()
}

// stopAndStart stops it as Kubernetes does.
func stopAndStart(ctx context.Context, r *running) {
	for _, p := range r.programs {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		if err := p.Stop(limit); err != nil {
			r.t.Errorf("%s: %v", r.name, err)
		}
		cancel()
		r.gone(p)
	}
	n := len(r.programs)
	r.programs = nil
	r.wait(ctx, 0, 2*time.Second)
	for range n {
		r.start()
	}
}

// stopWithBacklog stops it while the collector is away, which comes back when it is gone.
func stopWithBacklog(ctx context.Context, r *running) {
	r.collector.down()
	r.wait(ctx, 3*time.Second, 6*time.Second)
	stopAndStart(ctx, r)
	r.wait(ctx, time.Second, 2*time.Second)
	r.collector.up()
}

// expireToken has the API server refuse the token, and writes another into the file a little
// later.
func expireToken(ctx context.Context, r *running) {
	before := r.token
	r.token++
	next := r.world.newToken(ctx, r.cluster(), r.token)
	r.world.revoke(ctx, r.cluster(), before)
	r.api.cutAll() // a watch outlives its token
	r.wait(ctx, 8*time.Second, 12*time.Second)
	if err := os.WriteFile(filepath.Join(r.dir, "token"), []byte(next), 0o600); err != nil {
		r.t.Error(err)
	}
}

// stopForAWhile takes its CPU from it, longer than a busy machine does.
func stopForAWhile(ctx context.Context, r *running) {
	for _, p := range r.programs {
		if err := syscall.Kill(p.Pid(), syscall.SIGSTOP); err != nil {
			r.t.Error(err)
		}
	}
	r.wait(ctx, 15*time.Second, 25*time.Second)
	for _, p := range r.programs {
		if err := syscall.Kill(p.Pid(), syscall.SIGCONT); err != nil {
			r.t.Error(err)
		}
	}
}

// fillDisk takes all room that the data directory has, for good.
func fillDisk(_ context.Context, r *running) {
	f, err := os.Create(filepath.Join(r.dir, "data", "ballast"))
	if err != nil {
		r.t.Error(err)
		return
	}
	defer f.Close() //nolint:errcheck // It cannot be written on purpose.
	block := make([]byte, 4<<10)
	for {
		if _, err := f.Write(block); err != nil {
			return
		}
	}
}

// says waits until one of the programs has said something, and reports whether it has. One that
// has ended will not.
func (r *running) says(ctx context.Context, what string) (said bool) {
	return says(ctx, what, r.programs...)
}

// says is that of some of them.
func says(ctx context.Context, what string, programs ...*harness.Program) (said bool) {
	_ = wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(context.Context) (bool, error) {
		for _, p := range programs {
			if strings.Contains(p.Stderr(), what) {
				said = true
			}
			select {
			case <-p.Exited():
				return true, nil
			default:
			}
		}
		return said, nil
	})
	return said
}
