package build

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/causality/internal/evidence"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/kind"
)

// What a pod waited for of its volumes. Most mounts are quick and leave no
// trace; so these spans are there only where an object or an Event shows a wait.

// volumeSpans are the parts of a start that are about volumes.
type volumeSpans struct {
	claims   []claimSpans
	attached []*spans.Span // volumes that are attached to the node
	mounts   *spans.Span
}

// claimSpans are the spans of one claim; provision is nil where nothing shows
// who made the volume.
type claimSpans struct {
	*podlife.VolumeClaim
	bind, provision *spans.Span
	open            bool // it had no volume at the end
}

// claimWaits adds the time the pod waited for its claims to get a volume.
func (ph *phases) claimWaits(tl podlife.Timeline) {
	for _, c := range ph.pod.Claims.Of(ph.pod) {
		from, until := evidence.Latest(tl.Created, c.Created.Earliest), c.BoundAt()
		if !until.IsZero() && !until.After(tl.Created) {
			continue // it was there already
		}
		parent := ph.schedule
		switch {
		case tl.Scheduled.IsZero():
		case ph.pod.HasEvent("Scheduled") && !until.IsZero():
			// The scheduler waits for claims before it names a node; the news
			// of the claim may have come after.
			until = evidence.Earliest(until, tl.Scheduled)
		case until.IsZero() && !tl.Sandbox.IsZero():
			continue // it must have got one; nobody says when
		case until.After(tl.Scheduled) || until.IsZero():
			// The pod was made for this node.
			parent, from = ph.sandbox, evidence.Latest(from, tl.Scheduled)
		}
		open := until.IsZero() || until.After(parent.End)
		if open {
			until = parent.End
		}
		if until.After(from) {
			ph.bind(claimSpans{VolumeClaim: c, open: open}, parent, from, until)
		}
	}
}

func (ph *phases) bind(c claimSpans, parent *spans.Span, from, until time.Time) {
	c.bind = ph.add(Node{
		parent: parent.SpanID, id: []string{c.Name}, Kind: kind.BindVolumeClaim,
		Subject: c.Subject(), Start: from, End: until, Attrs: attributes(c.VolumeClaim),
	})
	if service, from, until := c.Provisioning(c.bind.End); !from.IsZero() && until.After(c.bind.Start) {
		c.provision = ph.add(Node{
			parent: c.bind.SpanID, id: []string{c.Name}, Kind: kind.ProvisionVolume, Service: service,
			Subject: c.Subject(), Start: evidence.Latest(from, c.bind.Start), End: until, Attrs: attributes(c.VolumeClaim),
		})
	}
	ph.volumes.claims = append(ph.volumes.claims, c)
}

// volumeMounts adds what preparing the sandbox waited for of the pod's volumes:
// that they were attached to the node, and mounted.
func (ph *phases) volumeMounts(tl podlife.Timeline) {
	start, end := ph.sandbox.Start, ph.mountsOver()
	failing := map[string]time.Time{} // volumes whose attachment failed, and since when
	mountFrom, mountFailed := start, false
	attach := func(volume string, until time.Time) {
		var attrs []attribute.KeyValue
		if volume != "" {
			attrs = append(attrs, semconv.K8SPersistentvolumeName(volume))
		}
		ph.volumes.attached = append(ph.volumes.attached, ph.add(Node{
			parent: ph.sandbox.SpanID, id: []string{strconv.Itoa(len(ph.volumes.attached))}, Kind: kind.AttachVolume,
			Start: start, End: until, Attrs: attrs,
		}))
		mountFrom = evidence.Latest(mountFrom, until)
	}
	for _, ev := range ph.pod.Events {
		t := ev.First()
		if ev.Container != "" || t.Before(start) || t.After(ph.sandbox.End) {
			continue
		}
		switch volume := volumeName(ev.Message()); ev.Reason {
		case "FailedAttachVolume":
			failing[volume] = t
			mountFailed = true
		case "SuccessfulAttachVolume":
			delete(failing, volume)
			attach(volume, t)
		case "FailedMount", "FailedMapVolume":
			mountFailed = true
		}
	}
	if tl.Sandbox.IsZero() {
		for _, volume := range slices.Sorted(maps.Keys(failing)) {
			attach(volume, end)
		}
	}
	if mountFailed && end.After(mountFrom) {
		ph.volumes.mounts = ph.add(Node{
			parent: ph.sandbox.SpanID, Kind: kind.MountVolumes, Start: mountFrom, End: end,
		})
	}
}

// mountsOver is when all volumes were there: the kubelet makes the sandbox after
// that, which shows where that fails.
func (ph *phases) mountsOver() time.Time {
	end := ph.sandbox.End
	for _, ev := range ph.pod.Events {
		if ev.Reason == "FailedCreatePodSandBox" && !ev.First().Before(ph.sandbox.Start) && ev.First().Before(end) {
			end = ev.First()
		}
	}
	return end
}

// failVolumes marks what was not there when the start failed for it.
func (ph *phases) failVolumes(f evidence.Failure) {
	for _, c := range ph.volumes.claims {
		o, reason := c.LastFailure(ph.end)
		if !c.open || reason == "" {
			continue
		}
		fail(c.bind, evidence.Failure{Reason: reason, Message: o.Message})
		if c.provision != nil {
			fail(c.provision, evidence.Failure{Reason: reason, Message: o.Message})
		}
	}
	if ph.last != ph.sandbox {
		return
	}
	for _, s := range append(slices.Clip(ph.volumes.attached), ph.volumes.mounts) {
		if s != nil && s.End.Equal(ph.end) && isVolumeFailure(f.Reason) {
			fail(s, f)
		}
	}
}

func isVolumeFailure(reason string) bool {
	return reason == "FailedAttachVolume" || reason == "FailedMount" || reason == "FailedMapVolume"
}

// placeVolumeEvent finds the span of an Event of the pod about one of its
// volumes; nil if there is none.
func (ph *phases) placeVolumeEvent(ev *podlife.Event) *spans.Span {
	switch ev.Reason {
	case "SuccessfulAttachVolume", "FailedAttachVolume":
		for _, s := range ph.volumes.attached {
			if v, _ := s.Attribute(semconv.K8SPersistentvolumeNameKey); v.AsString() == volumeName(ev.Message()) && !ev.First().After(s.End) {
				return s
			}
		}
		return ph.volumes.mounts
	case "FailedMount", "FailedMapVolume":
		if s := ph.volumes.mounts; s != nil && !ev.First().Before(s.Start) {
			return s
		}
	}
	return nil
}

// attachClaimEvents puts the Events of the pod's claims on the spans that
// waited for them.
func (ph *phases) attachClaimEvents() {
	for _, c := range ph.pod.Claims.Of(ph.pod) {
		for _, ev := range c.Events {
			if t := ev.First(); !ev.Ledger.Claimed && !t.After(ph.end) && ph.pod.Claims.Waiter(ph.pod, c, t, ph.work) {
				attach(ph.placeClaimEvent(c, t), ev, ph.end)
			}
		}
	}
}

func (ph *phases) placeClaimEvent(c *podlife.VolumeClaim, t time.Time) *spans.Span {
	for _, s := range ph.volumes.claims {
		switch {
		case s.VolumeClaim != c || t.After(s.bind.End):
		case s.provision != nil && !t.Before(s.provision.Start) && !t.After(s.provision.End):
			return s.provision
		default:
			return s.bind
		}
	}
	return ph.root
}

// attributes name the claim and what it asks for.
func attributes(c *podlife.VolumeClaim) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		semconv.K8SPersistentvolumeclaimName(c.Name),
		semconv.K8SPersistentvolumeclaimUID(string(c.Uid)),
	}
	if c.Class != "" {
		attrs = append(attrs, semconv.K8SStorageclassName(c.Class))
	}
	if c.Volume != "" {
		attrs = append(attrs, semconv.K8SPersistentvolumeName(c.Volume))
	}
	return attrs
}

// volumeInMessage reads `AttachVolume.Attach succeeded for volume "pvc-1"`.
var volumeInMessage = regexp.MustCompile(`for volume "([^"]+)"`)

func volumeName(message string) string {
	if m := volumeInMessage.FindStringSubmatch(message); m != nil {
		return m[1]
	}
	return ""
}
