// Package podlife has the records of a pod's life and reads them: the pod and its containers,
// the Events about it, the volume claims that it waits for.
//
// Records (Pod, Container, Run, Event, VolumeClaim) take facts out of observations by methods
// that begin with Observe. What follows from the facts of one pod is worked out when it is
// asked for, and stored nowhere: when it went through its start (Timeline), what the kubelet
// did for each container (Stages), what kept it from being ready (Trouble), why a container
// ended (WhyEnded), and when it was asked to stop (StopAsked).
//
// The package knows a pod's own stream and the Events about it. It may not know which workload
// made the pod, what a plan says of it, or what the spans are called that tell of it. Object,
// which all records of the engine embed, is here because Events are filed with it.
//
// Begin with pod.go and container.go for the facts. To understand a pod's start read
// milestones.go, then stages.go, then timeline.go.
package podlife
