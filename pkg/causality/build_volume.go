package causality

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

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
	*volumeClaim
	bind, provision *spans.Span
	open            bool // it had no volume at the end
}

// claimWaits adds the time the pod waited for its claims to get a volume.
func (ph *phases) claimWaits(tl timeline) {
	for _, c := range ph.pod.claims.of(ph.pod) {
		from, until := latest(tl.created, c.created.lo), c.boundAt()
		if !until.IsZero() && !until.After(tl.created) {
			continue // it was there already
		}
		parent := ph.schedule
		switch {
		case tl.scheduled.IsZero():
		case ph.pod.hasEvent("Scheduled") && !until.IsZero():
			// The scheduler waits for claims before it names a node; the news
			// of the claim may have come after.
			until = earliest(until, tl.scheduled)
		case until.IsZero() && !tl.sandbox.IsZero():
			continue // it must have got one; nobody says when
		case until.After(tl.scheduled) || until.IsZero():
			// The pod was made for this node.
			parent, from = ph.sandbox, latest(from, tl.scheduled)
		}
		open := until.IsZero() || until.After(parent.End)
		if open {
			until = parent.End
		}
		if until.After(from) {
			ph.bind(claimSpans{volumeClaim: c, open: open}, parent, from, until)
		}
	}
}

func (ph *phases) bind(c claimSpans, parent *spans.Span, from, until time.Time) {
	c.bind = ph.add(node{
		parent: parent.SpanID, id: []string{c.name}, kind: kind.BindVolumeClaim,
		subject: c.subject(), start: from, end: until, attrs: c.attributes(),
	})
	if service, from, until := c.provisioning(c.bind.End); !from.IsZero() && until.After(c.bind.Start) {
		c.provision = ph.add(node{
			parent: c.bind.SpanID, id: []string{c.name}, kind: kind.ProvisionVolume, service: service,
			subject: c.subject(), start: latest(from, c.bind.Start), end: until, attrs: c.attributes(),
		})
	}
	ph.volumes.claims = append(ph.volumes.claims, c)
}

// volumeMounts adds what preparing the sandbox waited for of the pod's volumes:
// that they were attached to the node, and mounted.
func (ph *phases) volumeMounts(tl timeline) {
	start, end := ph.sandbox.Start, ph.mountsOver()
	failing := map[string]time.Time{} // volumes whose attachment failed, and since when
	mountFrom, mountFailed := start, false
	attach := func(volume string, until time.Time) {
		var attrs []attribute.KeyValue
		if volume != "" {
			attrs = append(attrs, semconv.K8SPersistentvolumeName(volume))
		}
		ph.volumes.attached = append(ph.volumes.attached, ph.add(node{
			parent: ph.sandbox.SpanID, id: []string{strconv.Itoa(len(ph.volumes.attached))}, kind: kind.AttachVolume,
			start: start, end: until, attrs: attrs,
		}))
		mountFrom = latest(mountFrom, until)
	}
	for _, ev := range ph.pod.events {
		t := ev.first()
		if ev.container != "" || t.Before(start) || t.After(ph.sandbox.End) {
			continue
		}
		switch volume := volumeName(ev.message()); ev.reason {
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
	if tl.sandbox.IsZero() {
		for _, volume := range slices.Sorted(maps.Keys(failing)) {
			attach(volume, end)
		}
	}
	if mountFailed && end.After(mountFrom) {
		ph.volumes.mounts = ph.add(node{
			parent: ph.sandbox.SpanID, kind: kind.MountVolumes, start: mountFrom, end: end,
		})
	}
}

// mountsOver is when all volumes were there: the kubelet makes the sandbox after
// that, which shows where that fails.
func (ph *phases) mountsOver() time.Time {
	end := ph.sandbox.End
	for _, ev := range ph.pod.events {
		if ev.reason == "FailedCreatePodSandBox" && !ev.first().Before(ph.sandbox.Start) && ev.first().Before(end) {
			end = ev.first()
		}
	}
	return end
}

// failVolumes marks what was not there when the start failed for it.
func (ph *phases) failVolumes(f failure) {
	for _, c := range ph.volumes.claims {
		o, reason := c.lastFailure(ph.end)
		if !c.open || reason == "" {
			continue
		}
		fail(c.bind, failure{reason, o.message})
		if c.provision != nil {
			fail(c.provision, failure{reason, o.message})
		}
	}
	if ph.last != ph.sandbox {
		return
	}
	for _, s := range append(slices.Clip(ph.volumes.attached), ph.volumes.mounts) {
		if s != nil && s.End.Equal(ph.end) && isVolumeFailure(f.reason) {
			fail(s, f)
		}
	}
}

func isVolumeFailure(reason string) bool {
	return reason == "FailedAttachVolume" || reason == "FailedMount" || reason == "FailedMapVolume"
}

// placeVolumeEvent finds the span of an Event of the pod about one of its
// volumes; nil if there is none.
func (ph *phases) placeVolumeEvent(ev *event) *spans.Span {
	switch ev.reason {
	case "SuccessfulAttachVolume", "FailedAttachVolume":
		for _, s := range ph.volumes.attached {
			if v, _ := s.Attribute(semconv.K8SPersistentvolumeNameKey); v.AsString() == volumeName(ev.message()) && !ev.first().After(s.End) {
				return s
			}
		}
		return ph.volumes.mounts
	case "FailedMount", "FailedMapVolume":
		if s := ph.volumes.mounts; s != nil && !ev.first().Before(s.Start) {
			return s
		}
	}
	return nil
}

// attachClaimEvents puts the Events of the pod's claims on the spans that
// waited for them.
func (ph *phases) attachClaimEvents() {
	for _, c := range ph.pod.claims.of(ph.pod) {
		for _, ev := range c.events {
			if t := ev.first(); !ev.ledger.claimed && !t.After(ph.end) && ph.pod.claims.waiter(ph.pod, c, t, ph.work) {
				attach(ph.placeClaimEvent(c, t), ev, ph.end)
			}
		}
	}
}

func (ph *phases) placeClaimEvent(c *volumeClaim, t time.Time) *spans.Span {
	for _, s := range ph.volumes.claims {
		switch {
		case s.volumeClaim != c || t.After(s.bind.End):
		case s.provision != nil && !t.Before(s.provision.Start) && !t.After(s.provision.End):
			return s.provision
		default:
			return s.bind
		}
	}
	return ph.root
}

// attributes name the claim and what it asks for.
func (c *volumeClaim) attributes() []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		semconv.K8SPersistentvolumeclaimName(c.name),
		semconv.K8SPersistentvolumeclaimUID(string(c.uid)),
	}
	if c.class != "" {
		attrs = append(attrs, semconv.K8SStorageclassName(c.class))
	}
	if c.volume != "" {
		attrs = append(attrs, semconv.K8SPersistentvolumeName(c.volume))
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
