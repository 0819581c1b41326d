package cli

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/go-logr/logr"

	"github.com/rollspan/rollspan/pkg/alarms"
	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/watcher"
	"github.com/rollspan/rollspan/pkg/webhook"
)

// tell has the webhook told of what is finished, if there is one, on its way to next.
func (r *run) tell(next output, clusterUID string, registered *registry) (output, error) {
	if r.webhook.URL == "" {
		return next, nil
	}
	encoder, err := r.conversion.newEncoder(clusterUID)
	if err != nil {
		return nil, err
	}
	var store webhook.Store
	var queue *journal.Queue
	if r.dataDir != "" {
		if queue, err = journal.OpenQueue(journal.QueueOptions{Dir: filepath.Join(r.dataDir, "queue-webhook"), MaxBytes: r.webhookBytes(), Log: r.log}); err != nil {
			return nil, err
		}
		store = webhookQueue{queue}
		if err := registered.add(watcher.WebhookQueueMetrics(queue.Stats)...); err != nil {
			return nil, err
		}
	}
	sender, err := webhook.New(r.webhook, &webhook.Teller{
		Encoder: encoder, ClusterUID: clusterUID, ClusterName: r.conversion.encoder.ClusterName, TraceURL: r.conversion.traceURL.template,
	}, store, logr.FromSlogHandler(r.log.Handler()))
	if err != nil {
		return nil, err
	}
	r.log.Info("telling of changes that are over", "to", sender.Place())
	if err := registered.add(webhook.Metrics(sender.Stats)); err != nil {
		return nil, err
	}
	r.told.Store(sender)
	return toldOutput{noticedOutput{next, sender.Finished}, sender, queue}, nil
}

// Begin has the webhook told of an alarm. What comes before the API server has answered is told to
// nobody: it was on before.
func (r *run) Begin(a alarms.Alarm) {
	if sender := r.told.Load(); sender != nil {
		sender.Begin(a)
	}
}

var _ alarms.Sink = (*run)(nil)

// toldOutput has a webhook told of what is over.
type toldOutput struct {
	noticedOutput
	sender *webhook.Sender
	queue  *journal.Queue // what waits for it on the disk; nil without a data directory
}

// Deliver has the webhook told before the trace goes on: who has acknowledged the trace's spans does
// not hand it out again, so what is told of it survives the machine by then, too.
func (o toldOutput) Deliver(t spans.Trace) error {
	o.notice(t)
	if o.queue != nil {
		o.queue.Sync() // which has nothing to do for most traces
	}
	return o.output.Deliver(t)
}

func (o toldOutput) Close(ctx context.Context) error {
	err := closeBoth(ctx, o.output, o.sender)
	if o.queue != nil {
		err = errors.Join(err, o.queue.Close())
	}
	return err
}

// webhookShare is what part of --data-dir-max-bytes what waits for the webhook may take at most.
const webhookShare = 16

// webhookBytes is how much what waits for the webhook may take on the disk; 0 where it is not kept
// there. Twice what may wait leaves room for what is done.
func (r *run) webhookBytes() int64 {
	if r.webhook.URL == "" || r.dataDir == "" {
		return 0
	}
	return min(2*webhook.DefaultQueueBytes, r.dataDirMost/webhookShare)
}

// webhookQueue is a journal.Queue as the webhook knows it: each event is a record.
type webhookQueue struct{ *journal.Queue }

// Append puts an event behind all others.
func (q webhookQueue) Append(namespace string, body []byte) (place uint64, gone []uint64) {
	places := q.Queue.Append([]journal.QueueItem{{Namespace: namespace, Body: body}}, true)
	for _, e := range q.Evict(0) {
		gone = append(gone, e.Record)
	}
	if len(places) > 0 {
		place = places[0].Record
	}
	return place, gone
}

// Next returns the oldest event that was not read.
func (q webhookQueue) Next() (namespace string, body []byte, place uint64, lost int) {
	items, places, lost := q.Queue.Next()
	if len(items) == 0 {
		return "", nil, 0, lost
	}
	return items[0].Namespace, items[0].Body, places[0].Record, lost
}

// Done says up to where all is done.
func (q webhookQueue) Done(place uint64) { q.Queue.Done(journal.Place{Record: place}) }

// Working reports whether the disk has not failed.
func (q webhookQueue) Working() bool { return q.Kept() }
