// Package nodes has the records of Nodes and of what ailed them.
//
// A Disruption is a time in which a Node was not what its pods need it to be: it was not
// Ready, cordoned, rebooted. It begins and ends by facts of the Node alone, and becomes a trace
// when it is over. Which pods it took away is asked for when their loss is handed out (TookPod,
// KindsBehindLoss).
//
// The package knows Nodes, the Events about them, and what a pod says of its end. It knows no
// workload and no plan. Begin with disruption.go and node.go, then read loss.go.
package nodes
