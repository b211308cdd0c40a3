package controlplane

import (
	_ "embed"
	"strconv"
	"time"
)

// Annotations of a pod that say how its simulated kubelet treats it. Values are numbers of seconds, fractions allowed; a value
// that is no number counts as 0. They must be set when the pod is created.
const (
	// AnnotationPrefix begins the key of each of them.
	AnnotationPrefix = "kubelet.pdautoscaler.io/"

	// AnnotationReadyAfterSeconds is how long the containers run before the pod is Ready: the cold start.
	AnnotationReadyAfterSeconds = AnnotationPrefix + "ready-after-seconds"

	// AnnotationGoneAfterSeconds is how long the pod stays Terminating, which no pod does longer than its grace period.
	AnnotationGoneAfterSeconds = AnnotationPrefix + "gone-after-seconds"

	// AnnotationStartFailure makes the pod's containers wait for ever, after AnnotationReadyAfterSeconds, with this reason, for
	// example CrashLoopBackOff.
	AnnotationStartFailure = AnnotationPrefix + "start-failure"
)

// Seconds writes a duration as the annotations want it.
func Seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
}

//go:embed stages.yaml
var stages []byte
