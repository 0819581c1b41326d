// Package kind is the table of the kinds of spans that rollspan tells: how each is named,
// what it counts as on a critical path, and who does the work. Logic compares kinds. The
// names of spans are for people, and may come to say more than the kind.
package kind

import (
	"cmp"

	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// Kind is a kind of span. It is not OpenTelemetry's span kind. The zero value is that of a
// span whose kind is not known, such as one that was read back from OTLP.
type Kind uint8

// The roots of changes.
const (
	_ Kind = iota
	Rollout
	Scale
	Delete
	JobRun
	CronJobSchedule
	PodRun // also the start of a pod that is to end, below the run of its Job
	PodReplacement
	ContainerRestart
	NodeDisruption
	Activity // also below the change in whose time the Events came
)

// What is below a root, but for pods.
const (
	Paused Kind = iota + Activity + 1
	ScaleUp
	ScaleDown
	MinReadyWait
	Recovery
	InProgress
	LateEvents
	StatusLatency
	DeleteWait
	OldPodWait
)

// The start of a pod, and its parts.
const (
	PodStart Kind = iota + OldPodWait + 1
	PodRecovery
	Schedule
	SchedulingGates
	Unschedulable
	BindDevices
	BindVolumeClaim
	ProvisionVolume
	PrepareSandbox
	AttachVolume
	MountVolumes
	InitContainer
	Container
	PullImage
	StartContainer
	RunContainer
	BackOff
	BecomeReady
	StartupProbe
	ReadinessProbe
	ReadinessGates
	Disrupted
)

// The stop of a pod, and its parts.
const (
	PodStop Kind = iota + Disrupted + 1
	StopContainer
	RemovePod

	// NotReady is of a pod that had been Ready, in a change that is open.
	NotReady

	// LeftOut stands for spans that came when their trace was over its budget.
	LeftOut

	end // of the kinds
)

// properties are what is known of a kind.
type properties struct {
	name string
	// ofObject says that the name begins with the kind of an object: "Deployment rollout".
	ofObject bool
	// id is what the IDs of such spans are made of where that is not the name. An ID never
	// changes: whoever gives a kind another name puts the old one here.
	id string
	// change is the change that a root of this kind tells of.
	change attr.Change
	// service does the work. It is empty where that depends on more than the kind.
	service string
	// phase is what the own time of such a span counts as on a critical path, by default
	// attr.PhaseUnknown: a controller is named only where it was free to act.
	phase attr.Phase
	// within is a kind that takes the time of its parts for its own: if the parent is of
	// it, the span counts as the parent does.
	within Kind
	// vague says that the name of the phase says more about the span's own time than its
	// own: what a "container" waits for beside its parts is that it starts.
	vague bool
}

var table = [end]properties{
	Rollout:          {name: "rollout", ofObject: true, change: attr.ChangeRollout, phase: attr.PhaseController},
	Scale:            {name: "scale", ofObject: true, change: attr.ChangeScale, phase: attr.PhaseController},
	Delete:           {name: "delete", ofObject: true, change: attr.ChangeDelete, phase: attr.PhaseController},
	JobRun:           {name: "Job run", change: attr.ChangeJob, service: attr.ServiceJob, phase: attr.PhaseController},
	CronJobSchedule:  {name: "CronJob schedule", change: attr.ChangeSchedule, service: attr.ServiceCronJob},
	PodRun:           {name: "Pod run", change: attr.ChangeRun, id: "pod start", service: attr.ServiceKubelet},
	PodReplacement:   {name: "Pod replacement", change: attr.ChangeReplacement, phase: attr.PhaseController},
	ContainerRestart: {name: "Container restart", change: attr.ChangeRestart, service: attr.ServiceKubelet},
	NodeDisruption:   {name: "Node disruption", change: attr.ChangeDisruption},
	Activity:         {name: "activity", ofObject: true, change: attr.ChangeActivity},

	Paused:       {name: "paused", phase: attr.PhasePaused},
	ScaleUp:      {name: "ReplicaSet scale up", id: "step", service: attr.ServiceReplicaSet, phase: attr.PhaseCreatePod, vague: true},
	ScaleDown:    {name: "ReplicaSet scale down", id: "step", service: attr.ServiceReplicaSet, phase: attr.PhaseController, vague: true},
	MinReadyWait: {name: "min ready wait", phase: attr.PhaseMinReadyWait},
	Recovery:     {name: "recovery", ofObject: true},
	InProgress:   {name: "in progress"},
	LateEvents:   {name: "late events"},

	StatusLatency: {name: "status latency", service: attr.ServiceKubelet, phase: attr.PhaseStatusLatency},
	DeleteWait:    {name: "delete wait", phase: attr.PhaseDeleteWait},
	OldPodWait:    {name: "old pod wait", phase: attr.PhaseOldPodWait},

	PodStart:        {name: "Pod start", id: "pod start", service: attr.ServiceKubelet},
	PodRecovery:     {name: "Pod recovery", id: "pod recovery", service: attr.ServiceKubelet},
	Schedule:        {name: "schedule", service: attr.ServiceScheduler, phase: attr.PhaseSchedule},
	SchedulingGates: {name: "scheduling gates", service: attr.ServiceScheduler, phase: attr.PhaseSchedule},
	Unschedulable:   {name: "unschedulable", service: attr.ServiceScheduler, phase: attr.PhaseSchedule},
	BindDevices:     {name: "bind devices", service: attr.ServiceScheduler, phase: attr.PhaseSchedule},
	BindVolumeClaim: {name: "bind volume claim", service: attr.ServiceVolumeBinder, phase: attr.PhaseVolumes},
	ProvisionVolume: {name: "provision volume", phase: attr.PhaseVolumes}, // the provisioner does it
	PrepareSandbox:  {name: "prepare sandbox", service: attr.ServiceKubelet, phase: attr.PhasePrepareSandbox},
	AttachVolume:    {name: "attach volume", service: attr.ServiceVolumeAttacher, phase: attr.PhaseVolumes},
	MountVolumes:    {name: "mount volumes", service: attr.ServiceKubelet, phase: attr.PhaseVolumes},
	InitContainer:   {name: "init container", service: attr.ServiceKubelet, phase: attr.PhaseInitContainer},
	Container:       {name: "container", service: attr.ServiceKubelet, phase: attr.PhaseStartContainer, vague: true},
	PullImage:       {name: "pull image", service: attr.ServiceKubelet, phase: attr.PhasePullImage},
	StartContainer:  {name: "start container", service: attr.ServiceKubelet, phase: attr.PhaseStartContainer},
	RunContainer:    {name: "run container", service: attr.ServiceKubelet, phase: attr.PhaseRunContainer, within: InitContainer},
	BackOff:         {name: "back off", service: attr.ServiceKubelet, phase: attr.PhaseBackOff},
	BecomeReady:     {name: "become ready", service: attr.ServiceKubelet, phase: attr.PhaseBecomeReady},
	StartupProbe:    {name: "startup probe", service: attr.ServiceKubelet, phase: attr.PhaseBecomeReady, within: InitContainer},
	ReadinessProbe:  {name: "readiness probe", service: attr.ServiceKubelet, phase: attr.PhaseBecomeReady},
	ReadinessGates:  {name: "readiness gates", service: attr.ServiceKubelet, phase: attr.PhaseBecomeReady},
	Disrupted:       {name: "disrupted", service: attr.ServiceKubelet, phase: attr.PhaseNodeDisruption},

	PodStop:       {name: "Pod stop", id: "pod stop", service: attr.ServiceKubelet, phase: attr.PhasePodStop},
	StopContainer: {name: "stop container", service: attr.ServiceKubelet, phase: attr.PhaseStopContainer, within: PodStop},
	RemovePod:     {name: "remove pod", service: attr.ServiceKubelet, phase: attr.PhasePodStop},

	NotReady: {name: "not ready", service: attr.ServiceKubelet, phase: attr.PhaseBecomeReady},

	LeftOut: {name: "left out"}, // the service is that of what was left out
}

// All are the kinds that there are.
func All() []Kind {
	all := make([]Kind, 0, end-1)
	for k := range end - 1 {
		all = append(all, k+1)
	}
	return all
}

// OfChange is the kind of the roots that tell of a change; zero if there is no such change.
func OfChange(c attr.Change) Kind {
	for k := range end {
		if c != "" && table[k].change == c {
			return k
		}
	}
	return 0
}

// byName are the kinds by what String says.
var byName = func() map[string]Kind {
	all := map[string]Kind{}
	for _, k := range All() {
		all[k.String()] = k
	}
	return all
}()

// Named is the kind of which String says this name; zero if there is none, as where another
// version has named it otherwise.
func Named(name string) Kind { return byName[name] }

func (k Kind) properties() *properties {
	if k >= end {
		k = 0
	}
	return &table[k]
}

// Name is what spans of the kind are called: "pull image". object is the kind of the object
// that the span is about, which some names begin with: "Deployment rollout".
func (k Kind) Name(object string) string {
	p := k.properties()
	if p.ofObject {
		return object + " " + p.name
	}
	return p.name
}

// OfObject reports whether the names of such spans begin with the kind of an object.
func (k Kind) OfObject() bool { return k.properties().ofObject }

// String is the name without an object: "rollout".
func (k Kind) String() string { return k.properties().name }

// ID is what the kind adds to the identity that IDs of spans are hashed from. Kinds that
// stand in for each other, as PodStart and PodRun do, share one.
func (k Kind) ID() string {
	p := k.properties()
	return cmp.Or(p.id, p.name)
}

// Change is the change that a root of this kind tells of; empty if such spans are no roots.
func (k Kind) Change() attr.Change { return k.properties().change }

// Service is the component that does the work; empty where that depends on more than the
// kind.
func (k Kind) Service() string { return k.properties().service }

// Phase is what the own time of such a span, below a parent, counts as on a critical path.
func (k Kind) Phase(parent Kind) attr.Phase {
	p := k.properties()
	if p.within != 0 && p.within == parent {
		p = parent.properties()
	}
	return cmp.Or(p.phase, attr.PhaseUnknown)
}

// Vague reports whether the name of the phase says more than the kind's own about the time
// that such a span took beside its parts.
func (k Kind) Vague() bool { return k.properties().vague }
