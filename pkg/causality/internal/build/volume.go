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
func (sb *startBuilder) claimWaits(tl podlife.Timeline) {
	for _, c := range sb.pod.Claims.Of(sb.pod) {
		from, until := evidence.Latest(tl.Created, c.Created.Earliest), c.BoundAt()
		if !until.IsZero() && !until.After(tl.Created) {
			continue // it was there already
		}
		parent := sb.schedule
		switch {
		case tl.Scheduled.IsZero():
		case sb.pod.HasEvent("Scheduled") && !until.IsZero():
			// The scheduler waits for claims before it names a node; the news
			// of the claim may have come after.
			until = evidence.Earliest(until, tl.Scheduled)
		case until.IsZero() && !tl.Sandbox.IsZero():
			continue // it must have got one; nobody says when
		case until.After(tl.Scheduled) || until.IsZero():
			// The pod was made for this node.
			parent, from = sb.sandbox, evidence.Latest(from, tl.Scheduled)
		}
		open := until.IsZero() || until.After(parent.End)
		if open {
			until = parent.End
		}
		if until.After(from) {
			sb.bind(claimSpans{VolumeClaim: c, open: open}, parent, from, until)
		}
	}
}

func (sb *startBuilder) bind(c claimSpans, parent *spans.Span, from, until time.Time) {
	c.bind = sb.add(SpanSpec{
		parent: parent.SpanID, id: []string{c.Name}, Kind: kind.BindVolumeClaim,
		Subject: c.Subject(), Start: from, End: until, Attrs: claimAttributes(c.VolumeClaim),
	})
	if service, from, until := c.Provisioning(c.bind.End); !from.IsZero() && until.After(c.bind.Start) {
		c.provision = sb.add(SpanSpec{
			parent: c.bind.SpanID, id: []string{c.Name}, Kind: kind.ProvisionVolume, Service: service,
			Subject: c.Subject(), Start: evidence.Latest(from, c.bind.Start), End: until, Attrs: claimAttributes(c.VolumeClaim),
		})
	}
	sb.volumes.claims = append(sb.volumes.claims, c)
}

// volumeMounts adds what preparing the sandbox waited for of the pod's volumes:
// that they were attached to the node, and mounted.
func (sb *startBuilder) volumeMounts(tl podlife.Timeline) {
	start, end := sb.sandbox.Start, sb.mountsOver()
	failing := map[string]time.Time{} // volumes whose attachment failed, and since when
	mountFrom, mountFailed := start, false
	attach := func(volume string, until time.Time) {
		var attrs []attribute.KeyValue
		if volume != "" {
			attrs = append(attrs, semconv.K8SPersistentvolumeName(volume))
		}
		sb.volumes.attached = append(sb.volumes.attached, sb.add(SpanSpec{
			parent: sb.sandbox.SpanID, id: []string{strconv.Itoa(len(sb.volumes.attached))}, Kind: kind.AttachVolume,
			Start: start, End: until, Attrs: attrs,
		}))
		mountFrom = evidence.Latest(mountFrom, until)
	}
	for _, ev := range sb.pod.Events {
		t := ev.First()
		if ev.Container != "" || !within(t, start, sb.sandbox.End) {
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
		sb.volumes.mounts = sb.add(SpanSpec{
			parent: sb.sandbox.SpanID, Kind: kind.MountVolumes, Start: mountFrom, End: end,
		})
	}
}

// mountsOver is when all volumes were there: the kubelet makes the sandbox after
// that, which shows where that fails.
func (sb *startBuilder) mountsOver() time.Time {
	end := sb.sandbox.End
	for _, ev := range sb.pod.Events {
		if ev.Reason == "FailedCreatePodSandBox" && !ev.First().Before(sb.sandbox.Start) && ev.First().Before(end) {
			end = ev.First()
		}
	}
	return end
}

// failVolumes marks what was not there when the start failed for it.
func (sb *startBuilder) failVolumes(f evidence.Failure) {
	for _, c := range sb.volumes.claims {
		o, reason := c.LastFailure(sb.end)
		if !c.open || reason == "" {
			continue
		}
		fail(c.bind, evidence.Failure{Reason: reason, Message: o.Message})
		if c.provision != nil {
			fail(c.provision, evidence.Failure{Reason: reason, Message: o.Message})
		}
	}
	if sb.last != sb.sandbox {
		return
	}
	for _, s := range append(slices.Clip(sb.volumes.attached), sb.volumes.mounts) {
		if s != nil && s.End.Equal(sb.end) && isVolumeFailure(f.Reason) {
			fail(s, f)
		}
	}
}

func isVolumeFailure(reason string) bool {
	return reason == "FailedAttachVolume" || reason == "FailedMount" || reason == "FailedMapVolume"
}

// placeVolumeEvent finds the span of an Event of the pod about one of its
// volumes; nil if there is none.
func (sb *startBuilder) placeVolumeEvent(ev *podlife.Event) *spans.Span {
	switch ev.Reason {
	case "SuccessfulAttachVolume", "FailedAttachVolume":
		for _, s := range sb.volumes.attached {
			if v, _ := s.Attribute(semconv.K8SPersistentvolumeNameKey); v.AsString() == volumeName(ev.Message()) && !ev.First().After(s.End) {
				return s
			}
		}
		return sb.volumes.mounts
	case "FailedMount", "FailedMapVolume":
		if s := sb.volumes.mounts; s != nil && !ev.First().Before(s.Start) {
			return s
		}
	}
	return nil
}

// attachClaimEvents puts the Events of the pod's claims on the spans that
// waited for them.
func (sb *startBuilder) attachClaimEvents() {
	for _, c := range sb.pod.Claims.Of(sb.pod) {
		for _, ev := range c.Untold() {
			if t := ev.First(); !t.After(sb.end) && sb.pod.Claims.Waiter(sb.pod, c, t, sb.work) {
				attach(sb.placeClaimEvent(c, t), ev, sb.end)
			}
		}
	}
}

func (sb *startBuilder) placeClaimEvent(c *podlife.VolumeClaim, t time.Time) *spans.Span {
	for _, s := range sb.volumes.claims {
		switch {
		case s.VolumeClaim != c || t.After(s.bind.End):
		case s.provision != nil && within(t, s.provision.Start, s.provision.End):
			return s.provision
		default:
			return s.bind
		}
	}
	return sb.root
}

// claimAttributes name the claim and what it asks for.
func claimAttributes(c *podlife.VolumeClaim) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		semconv.K8SPersistentvolumeclaimName(c.Name),
		semconv.K8SPersistentvolumeclaimUID(string(c.UID)),
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
