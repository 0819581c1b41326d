package watcher

import (
	"context"
	"log/slog"
	"time"

	"github.com/rollspan/rollspan/pkg/causality"
)

// shedEvery is how often it is said that Events are forgotten. A flood may last.
const shedEvery = time.Minute

// shedLog says that the engine has forgotten Events for want of room.
type shedLog struct {
	log    *slog.Logger
	said   time.Time
	before causality.Stats
}

// note says what was forgotten since the last time, if something was and that is
// some time ago.
func (s *shedLog) note(stats *causality.Stats, now time.Time) {
	since := func(why causality.ShedReason) int64 { return stats.Shed[why] - s.before.Shed[why] }
	told, untold, object := since(causality.ShedTold), since(causality.ShedUntold), since(causality.ShedObject)
	if told+untold+object == 0 || now.Before(s.said.Add(shedEvery)) {
		return
	}
	level, text := slog.LevelWarn, "Events were forgotten before they were told, because somebody writes too many"
	if untold+object == 0 {
		level, text = slog.LevelInfo, "Events that were told are forgotten early, because there are so many"
	}
	s.log.Log(context.Background(), level, text, "lastIn", stats.ShedIn, "told", told, "untold", untold, "ofOneObject", object)
	s.said, s.before = now, *stats
}
