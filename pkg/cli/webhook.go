package cli

import (
	"context"

	"github.com/go-logr/logr"

	"github.com/rollspan/rollspan/pkg/alarms"
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
	sender, err := webhook.New(r.webhook, &webhook.Teller{
		Encoder: encoder, ClusterUID: clusterUID, ClusterName: r.conversion.encoder.ClusterName, TraceURL: r.conversion.traceURL.template,
	}, logr.FromSlogHandler(r.log.Handler()))
	if err != nil {
		return nil, err
	}
	r.log.Info("telling of changes that are over", "to", sender.Place())
	if err := registered.add(webhook.Metrics(sender.Stats)); err != nil {
		return nil, err
	}
	r.told.Store(sender)
	return toldOutput{noticedOutput{next, sender.Finished}, sender}, nil
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
}

func (o toldOutput) Close(ctx context.Context) error { return closeBoth(ctx, o.output, o.sender) }
