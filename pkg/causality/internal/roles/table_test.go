package roles

// engineRules are those of the engine. A function that reads only may be anywhere; the
// role of a package or a file is that of those in it that write.
var engineRules = rules{
	engine: "Engine",
	// A plan is made once for all that is done inside one boundary, and takes work.
	scratch: []string{"plans", "losses", "work", "budget", "opts"},
	books: []string{
		"Engine.now", "Engine.since", "Engine.listed", "Engine.stats", "Engine.lag", "Engine.lagSeen", "Engine.swept", "Engine.worked",
		"Engine.held", "Engine.due", "Engine.dueNodes", "Engine.unsettled", "Engine.awaited", "Engine.orphans", "Engine.old", "Engine.goneClaims", "Engine.open",
		"timers.Timers.heap", "timers.Timers.at", "timers.timer.time", "awaited.by", "awaited.reviews", "awaited.told", "Engine.reread", "Engine.issued", "Engine.handed",
		"workloads.Workload.RestUntil", "allResting.resting",
	},
	packages: map[string]role{
		"stream":             deduces,
		"internal/evidence":  deduces,
		"internal/kube":      deduces,
		"internal/clocks":    observes,
		"internal/ledger":    ledgers,
		"internal/podlife":   observes,
		"internal/workloads": observes,
		"internal/nodes":     observes,
		"internal/plans":     deduces,
		"internal/critpath":  deduces,
		"internal/timers":    runs,
		"internal/build":     delivers,
		"internal/preview":   delivers,
		"snapshots":          deduces,
		".":                  observes,
	},
	files: map[string]role{
		"internal/plans/place.go": delivers,
		"engine.go":               runs,
		"handout.go":              runs,
		"close.go":                runs,
		"guard.go":                runs,
		"hold.go":                 runs,
		"review.go":               runs,
		"review_*.go":             delivers,
		"inprogress.go":           delivers,
		"node_cause.go":           delivers,
	},
	functions: map[string]role{
		"*.forget*":                       forgets,
		"Engine.drop*":                    forgets,
		"reviewer.noteFilled":             forgets,
		"Engine.claimSets":                forgets,
		"Engine.endAsWorkload":            forgets,
		"workloads.Workload.ForgetChange": forgets,
		"Engine.observeOther":             observes,
		"Engine.vanished":                 observes,
		"evidence.Reasons.Add":            observes,
		"Engine.broughtBy":                delivers,
	},
	may: map[string]string{
		"Engine.adoptPod -> ledger.Pod.PassOverStart":               "a pod that was taken in has started long ago",
		"Engine.observeEvent -> ledger.Event.PassOver":              "it is written again by who remembers it, and was told",
		"Engine.observeJob -> ledger.Schedule.PassOver":             "the Job was over before the watcher came",
		"nodes.Record.ObserveKubelet -> ledger.Disruption.PassOver": "the kubelet restarted before the watcher came",
		"podlife.Pod.ForgetPastRuns -> ledger.Pod.EmitRestart":      "the containers restarted before the watcher came",
		"snapshots.* -> workloads.Read*":                            "it reads into a state of its own",
	},
}
