package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// RBG drains nothing: a replica that goes is deleted, with the requests it has.
// A hook tells the replica, or whoever routes to it, a while before. It is
// called in every round until the replica goes, so that a hook that got lost is
// no harm; what it is told must be the same each time.

// Hook is how a replica is told that it goes: exactly one of its fields is set.
type Hook struct {
	// HTTP is called on every pod of the replica that serves.
	HTTP *HTTPHook
	// Label and Annotation are set on every pod of the replica.
	Label, Annotation *Mark
}

// HTTPHook is a request to a pod's own address. An answer of 200 or 204 says
// that nothing is left to be served, and the replica may go at once; 202, or
// any other, that it may not yet.
type HTTPHook struct {
	Method string // GET, PUT or POST
	Port   int32
	Path   string
	// CancelPath is asked for, in the same way, where the replica stays after all;
	// empty where the pod itself decides how long it believes that it goes.
	CancelPath string
}

// Mark is one label or annotation.
type Mark struct{ Key, Value string }

// hookTimeout is how long one pod may take to answer: the next round asks again.
const hookTimeout = 2 * time.Second

// drainClient calls hooks. It follows no redirect, and goes through no proxy of
// the environment: a pod speaks for itself only.
func drainClient() *http.Client {
	return &http.Client{Timeout: hookTimeout, Transport: &http.Transport{IdleConnTimeout: time.Minute}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Drain tells the pods of replicas that go. done is true where all of them said
// that they have nothing left to serve; a hook of marks never knows. The error
// is of pods that could not be told; the others were.
func (w *Workload) Drain(ctx context.Context, t Target, h Hook, pods []Pod) (done bool, err error) {
	if h.HTTP == nil {
		return false, w.mark(ctx, t, h, pods, true)
	}
	return w.callAll(ctx, pods, func(pod *Pod) (bool, error) { return w.call(ctx, h.HTTP, pod) })
}

// Undrain takes back what was said where the replica stays after all. By HTTP
// that takes a path of its own; a pod that has none decides for itself how long
// it believes that it goes. The error is of pods that may be asked again, or a
// *NotTakenBackError where one answered that it does not know how.
func (w *Workload) Undrain(ctx context.Context, t Target, h Hook, pods []Pod) error {
	if h.HTTP == nil {
		return w.mark(ctx, t, h, pods, false)
	}
	if h.HTTP.CancelPath == "" {
		return nil
	}
	var refused atomic.Pointer[NotTakenBackError]
	_, err := w.callAll(ctx, pods, func(pod *Pod) (bool, error) {
		err := w.cancel(ctx, h.HTTP, pod)
		if no := new(NotTakenBackError); errors.As(err, &no) {
			refused.Store(no)
			return true, nil
		}
		return true, err
	})
	if no := refused.Load(); err == nil && no != nil {
		return no
	}
	return err
}

// callAll asks all pods that serve at the same time. done is true where all of
// them say so.
func (w *Workload) callAll(ctx context.Context, pods []Pod, call func(*Pod) (done bool, err error)) (done bool, err error) {
	type answer struct {
		done bool
		err  error
	}
	answers := make(chan answer, len(pods))
	asked := 0
	for i := range pods {
		if pods[i].IP == "" || pods[i].Terminating || !pods[i].Leader {
			continue
		}
		asked++
		go func() {
			done, err := call(&pods[i])
			answers <- answer{done, err}
		}()
	}
	done = true
	var failed []error
	for range asked {
		a := <-answers
		done = done && a.done
		failed = append(failed, a.err)
	}
	return done, errors.Join(failed...)
}

// call tells one pod that it goes.
func (w *Workload) call(ctx context.Context, h *HTTPHook, pod *Pod) (bool, error) {
	code, status, err := w.send(ctx, h, h.Path, pod)
	switch {
	case err != nil:
		return false, err
	case code == http.StatusOK, code == http.StatusNoContent:
		return true, nil
	case code/100 == 2, code == http.StatusServiceUnavailable:
		return false, nil // it is at it
	}
	return false, fmt.Errorf("drain hook of pod %s: %s answered %s; allowed is 200 or 204 when drained, 202 or 503 until then", pod.Name, h.Path, status)
}

// cancel tells one pod that it stays.
func (w *Workload) cancel(ctx context.Context, h *HTTPHook, pod *Pod) error {
	code, status, err := w.send(ctx, h, h.CancelPath, pod)
	switch {
	case err != nil || code/100 == 2:
		return err
	case code/100 == 5:
		return fmt.Errorf("drain hook of pod %s: %s answered %s; allowed is any 2xx when it serves again", pod.Name, h.CancelPath, status)
	}
	return &NotTakenBackError{Pod: pod.Name, Path: h.CancelPath, Status: status}
}

// send sends one request.
func (w *Workload) send(ctx context.Context, h *HTTPHook, path string, pod *Pod) (code int, status string, err error) {
	address := url.URL{Scheme: "http", Host: net.JoinHostPort(pod.IP, strconv.Itoa(int(h.Port))), Path: path}
	request, err := http.NewRequestWithContext(ctx, h.Method, address.String(), nil)
	if err != nil {
		return 0, "", fmt.Errorf("drain hook of pod %s: %w", pod.Name, err)
	}
	response, err := w.drainer.Do(request)
	if err != nil {
		return 0, "", fmt.Errorf("drain hook of pod %s: %w", pod.Name, err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // or the connection is not used again
	return response.StatusCode, response.Status, nil
}

// mark sets a mark on pods, or takes it off. A pod that has it, or has it not,
// already is not written.
func (w *Workload) mark(ctx context.Context, t Target, h Hook, pods []Pod, set bool) error {
	var failed []error
	for i := range pods {
		if pods[i].Terminating {
			continue
		}
		seen := &corev1.Pod{}
		err := w.reader.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: pods[i].Name}, seen)
		if apierrors.IsNotFound(err) || err == nil && seen.UID != pods[i].UID {
			continue
		}
		if err == nil {
			err = w.markOne(ctx, h, seen, set)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("drain mark of pod %s: %w", pods[i].Name, err))
		}
	}
	return errors.Join(failed...)
}

func (w *Workload) markOne(ctx context.Context, h Hook, pod *corev1.Pod, set bool) error {
	m, has := h.Annotation, pod.Annotations
	if h.Label != nil {
		m, has = h.Label, pod.Labels
	}
	if m == nil { // nothing was ever said
		return nil
	}
	value, marked := has[m.Key]
	if set == (marked && value == m.Value) {
		return nil
	}
	changed := pod.DeepCopy()
	of := &changed.Annotations
	if h.Label != nil {
		of = &changed.Labels
	}
	if *of == nil {
		*of = map[string]string{}
	}
	if set {
		(*of)[m.Key] = m.Value
	} else {
		delete(*of, m.Key)
	}
	return client.IgnoreNotFound(w.writer.Patch(ctx, changed, client.MergeFrom(pod)))
}

// PodsOf returns those of an observation's pods that belong to the named replicas.
func (o *Observation) PodsOf(replicas []string) []Pod {
	var pods []Pod
	for i := range o.Pods {
		if slices.Contains(replicas, o.Pods[i].Instance) {
			pods = append(pods, o.Pods[i])
		}
	}
	return pods
}
