package ui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollspan/rollspan/pkg/internal/terminal"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// took is a duration for people: as fine as it matters.
func took(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "−", -d
	}
	switch {
	case d < time.Second:
		return fmt.Sprintf("%s%d ms", sign, d.Round(time.Millisecond).Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%s%.1f s", sign, d.Seconds())
	case d < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%s%d m %02d s", sign, int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%s%d h %02d m", sign, int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%s%d d %02d h", sign, int(d.Hours())/24, int(d.Hours())%24)
}

// clockTime is when something happened: "2026-03-01 08:30:00".
func clockTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// machineTime is the same for the element time.
func machineTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// ago is how long something is over.
func ago(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case d < 0:
		return ""
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d d ago", int(d.Hours())/24)
}

// visible makes text that others wrote safe to look at: what turns its direction around, or is
// not seen at all, is shown by its number. That it is text and no HTML is for those that write
// it into the page to see to.
func visible(s string) string { return terminal.Line(strings.Join(strings.Fields(s), " ")) }

// phases are the classes of style.css, in the order of a legend.
var phases = []attr.Phase{
	attr.PhaseController, attr.PhaseCreatePod, attr.PhasePaused, attr.PhaseSchedule, attr.PhasePrepareSandbox, attr.PhaseVolumes,
	attr.PhaseInitContainer, attr.PhasePullImage, attr.PhaseStartContainer, attr.PhaseRunContainer, attr.PhaseBackOff,
	attr.PhaseBecomeReady, attr.PhaseMinReadyWait, attr.PhasePodStop, attr.PhaseStopContainer, attr.PhaseStatusLatency,
	attr.PhaseDeleteWait, attr.PhaseOldPodWait, attr.PhaseNodeDisruption, attr.PhaseUnknown,
}

// known is the phase if there is such a one: it becomes the name of a class.
func known(p attr.Phase) attr.Phase {
	if slices.Contains(phases, p) {
		return p
	}
	return attr.PhaseUnknown
}

// marks are signs for outcomes, beside their words.
var marks = map[attr.Outcome]string{
	attr.OutcomeComplete: "✓", attr.OutcomeFailed: "✕", attr.OutcomeOpen: "●", attr.OutcomeSuperseded: "↷",
	attr.OutcomeDeleted: "–", attr.OutcomeSuspended: "‖", attr.OutcomeSkipped: "»",
}

// outcome is how a change ended, as it is shown.
type outcome struct {
	// Class is that of style.css.
	Class string `json:"class"`
	Mark  string `json:"mark"`
	Word  string `json:"word"`
}

func outcomeOf(o attr.Outcome) outcome {
	mark, ok := marks[o]
	switch {
	case !ok:
		return outcome{"over", "·", "over"} // such as activity
	case o == attr.OutcomeOpen:
		return outcome{"open", mark, "in progress"}
	}
	return outcome{string(o), mark, string(o)}
}
