package causality

// What a controller says of the pods it made ("Created pod: web-1") tells when they were
// there. It is filed with the pod when both are known, whichever comes first: its Event
// may be forgotten long before the pod.

// maxNamesakes is how many pods of one name are looked at. They come one after the other,
// and an Event is of the time at which one was made.
const maxNamesakes = 8

// observeAnnouncements files what the Events of a set say of pods.
func (e *Engine) observeAnnouncements(set *object, events []*event) {
	for _, ev := range events {
		if ev.reason != "SuccessfulCreate" {
			continue
		}
		for _, o := range ev.occurrences {
			e.observeAnnouncement(set, ev.reason, o)
		}
	}
}

// observeAnnouncement files what one Event says. The pods of a StatefulSet have the names
// of those before them; it is about the one that was made nearest to its time.
func (e *Engine) observeAnnouncement(set *object, reason string, o occurrence) {
	if reason != "SuccessfulCreate" {
		return
	}
	var best *pod
	away := arrivalSlack
	q := e.pods[e.names[nameKey{kind: kindPod, namespace: set.namespace, name: podNamed(o.message)}]]
	for range maxNamesakes {
		if q == nil {
			break
		}
		if d := q.created.at().Sub(o.at).Abs(); q.owner == set.objectID && d < away {
			best, away = q, d
		}
		q = e.pods[q.namesake()]
	}
	if best != nil {
		best.announced = earliest(best.announced, o.at)
	}
}

// observeAnnounced files what was said of a pod before it was seen.
func (e *Engine) observeAnnounced(p *pod) {
	set := e.objects[p.owner]
	if set == nil || p.unowned() {
		return
	}
	for _, ev := range set.events {
		if ev.reason != "SuccessfulCreate" {
			continue
		}
		for _, o := range ev.occurrences {
			if p.created.at().Sub(o.at).Abs() < arrivalSlack && podNamed(o.message) == p.name {
				e.observeAnnouncement(set, ev.reason, o)
			}
		}
	}
}

// namesake is the pod that had the name before; no pod's identity if none did.
func (p *pod) namesake() objectID {
	return objectID{kind: kindPod, namespace: p.namespace, uid: p.before}
}
