package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/rollspan/rollspan/test/controlplane"
)

// logged is a log record that came through the Collector.
type logged struct {
	plog.LogRecord
	resource pcommon.Map
}

// logsIn are the log records in the file that the Collector writes. A line that is not whole is
// still being written.
func logsIn(collector *controlplane.OpenTelemetryCollector) (records []logged, err error) {
	content, err := os.ReadFile(filepath.Join(collector.Dir(), "logs.jsonl"))
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(content) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		logs, err := new(plog.JSONUnmarshaler).UnmarshalLogs(line)
		if err != nil {
			return nil, final{err}
		}
		for _, of := range logs.ResourceLogs().All() {
			for _, scope := range of.ScopeLogs().All() {
				for _, record := range scope.LogRecords().All() {
					records = append(records, logged{record, of.Resource().Attributes()})
				}
			}
		}
	}
	return records, nil
}

func textIn(m pcommon.Map, key string) string {
	v, ok := m.Get(key)
	if !ok {
		return ""
	}
	return v.AsString()
}

// eventsAreLogged waits until the Events of a rollout that goes on are there as log records, and
// returns the trace that they name: it is none that has come yet. However late the recorders are on
// a busy machine, the steps and the pods' Events have the trace, and what was over by then a span.
func (s *space) eventsAreLogged(collector *controlplane.OpenTelemetryCollector) (trace string) {
	s.t.Helper()
	s.eventually("the Events of the rollout are logged while it goes on", func() error {
		records, err := logsIn(collector)
		if err != nil {
			return err
		}
		found, spans, all := map[string]bool{}, 0, []string{}
		for _, r := range records {
			reason := textIn(r.Attributes(), "k8s.event.reason")
			if textIn(r.resource, "k8s.namespace.name") != s.name {
				continue
			}
			switch {
			case trace != "" && !r.TraceID().IsEmpty() && r.TraceID().String() != trace:
				return final{fmt.Errorf("%s is of trace %s, and others of %s", reason, r.TraceID(), trace)}
			case r.EventName() != "k8s.event" || textIn(r.Attributes(), "log.record.uid") == "":
				return final{fmt.Errorf("%s is no Event: %q", reason, r.EventName())}
			case reason == "Pulled":
				return final{fmt.Errorf("there is a record of Pulled, which is excluded")}
			case textIn(r.resource, "k8s.deployment.name") != appName:
				return final{fmt.Errorf("%s is of %q", reason, textIn(r.resource, "k8s.deployment.name"))}
			}
			if !r.TraceID().IsEmpty() {
				trace = r.TraceID().String()
				found[reason] = true
			}
			if !r.SpanID().IsEmpty() {
				spans++
			}
			all = append(all, fmt.Sprint(reason, " ", r.TraceID(), " ", r.SpanID()))
		}
		for _, reason := range []string{"ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "Started"} {
			if !found[reason] {
				return fmt.Errorf("no %s names a trace, of %q", reason, all)
			}
		}
		if spans == 0 {
			return fmt.Errorf("none names a span, of %q", all)
		}
		return nil
	})
	return trace
}
