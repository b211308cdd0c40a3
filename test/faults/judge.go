package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pdautoscaler/pdautoscaler/test/gpuwatch"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

// inFlight is how old what a round has read may be when it begins: the API server tells of a change a moment later, on a machine
// on which much else runs. How long the round itself took is known of each write, see Judge.Began.
const inFlight = 2 * time.Second

// roleNames are the roles that hold GPUs.
var roleNames = [2]string{RolePrefill, RoleDecode}

// Judge folds changes into what is held, and notes what the controller should not have written.
type Judge struct {
	// Hand are the revisions that the test itself wrote: no controller is to blame for them.
	Hand map[int64]bool
	// Began says when the round began that wrote an object at a moment, false where that is not known. Nil: it never is.
	Began func(object string, at time.Time) (time.Time, bool)

	// Violations are what was wrong, one sentence each; Excused is how many writes were on their way when somebody else took
	// the GPUs; Writes are those that changed a count, as text.
	Violations []string
	Excused    int
	Writes     []string

	group    *unstructured.Unstructured
	pda      *unstructured.Unstructured
	adapters map[string]*unstructured.Unstructured // by role
	pods     map[string]pod                        // by name
	owners   map[types.UID]types.UID               // of role instances and their sets that live: who owns them
	uids     map[string]types.UID                  // of the same, by kind and name
	taken    []taken
}

// pod is one pod as the judge counts it.
type pod struct {
	gpuwatch.Event
	owner types.UID
}

// taken are GPUs that somebody other than the controller took.
type taken struct {
	at   time.Time
	gpus int
}

// NewJudge has seen nothing.
func NewJudge() *Judge {
	return &Judge{
		Hand: map[int64]bool{}, adapters: map[string]*unstructured.Unstructured{}, pods: map[string]pod{},
		owners: map[types.UID]types.UID{}, uids: map[string]types.UID{},
	}
}

// Add judges the next change.
func (j *Judge) Add(c *Change) {
	before, desired := j.usage(), [2]int{j.desired(RolePrefill), j.desired(RoleDecode)}
	budget := j.budget()
	j.take(c)
	after := j.usage()
	wrote := false
	for i, role := range roleNames {
		to := j.desired(role)
		if to == desired[i] {
			continue
		}
		who := "by hand"
		if j.byController(c) {
			who, wrote = "by the controller", true
			j.judge(c, role, desired[i], to, before, after)
		}
		j.Writes = append(j.Writes, fmt.Sprintf("%s revision %d: %s %d -> %d %s, GPUs held %d -> %d of %d", c.At.Format("15:04:05.000"), c.Revision, role, desired[i], to, who, before, after, j.budget()))
	}
	if wrote {
		return
	}
	if more := after - before + max(0, budget-j.budget()); more > 0 {
		j.taken = append(j.taken, taken{c.At, more})
	}
}

// byController reports whether a change of a count came from the controller: it was made at the object that counts, and not by
// hand. The stand-in for RBG's controller never changes which count holds, but where it binds an adapter.
func (j *Judge) byController(c *Change) bool {
	return (c.Kind == kindAdapters || c.Kind == kindGroups) && !j.Hand[c.Revision] && !c.Deleted() && !bound(c)
}

// bound reports whether an adapter's count is what RBG's controller wrote when it bound it: the API server notes who wrote a
// field last, and the controller writes through /scale only.
func bound(c *Change) bool {
	if c.Kind != kindAdapters {
		return false
	}
	others := false
	for _, m := range c.Object.GetManagedFields() {
		if m.FieldsV1 == nil || !bytes.Contains(m.FieldsV1.GetRawBytes(), []byte(`"f:replicas"`)) || m.Subresource == "status" {
			continue
		}
		if m.Subresource == "scale" {
			return false
		}
		others = true
	}
	return others
}

// judge holds one write of the controller against the rules.
func (j *Judge) judge(c *Change, role string, from, to, before, after int) {
	blame := func(format string, args ...any) {
		j.Violations = append(j.Violations, fmt.Sprintf("%s revision %d: %s %d -> %d: %s", c.At.Format("15:04:05.000"), c.Revision, role, from, to, fmt.Sprintf(format, args...)))
	}
	least, most := j.bounds(role)
	if to > from && to > most || to < from && to < least {
		blame("outside of [%d, %d]", least, most)
	}
	if to < from {
		return
	}
	over := max(after, before) - j.budget()
	if over <= 0 {
		return
	}
	since := c.At
	if j.Began != nil {
		if began, known := j.Began(c.Name, c.At); known && began.Before(since) {
			since = began
		}
	}
	since = since.Add(-inFlight)
	others := 0
	for _, t := range j.taken {
		if !t.at.Before(since) {
			others += t.gpus
		}
	}
	if over > others {
		blame("%d GPUs were held and %d are, the budget is %d; others took %d within the last %s", before, after, j.budget(), others, c.At.Sub(since))
		return
	}
	j.Excused++
}

// take makes a change part of what is known.
func (j *Judge) take(c *Change) {
	switch c.Kind {
	case kindPods:
		j.takePod(c)
	case kindGroups:
		if c.Name == groupName {
			j.group = c.Object
		}
	case kindAutoscalers:
		j.pda = c.Object
	case kindAdapters:
		for role, a := range j.adapters {
			if a.GetName() == c.Name {
				delete(j.adapters, role)
			}
		}
		if c.Object != nil {
			role, _, _ := unstructured.NestedString(c.Object.Object, "spec", "scaleTargetRef", "role")
			j.adapters[role] = c.Object
		}
	case kindInstances, kindInstanceSets:
		key := c.Kind + "/" + c.Name
		delete(j.owners, j.uids[key])
		delete(j.uids, key)
		if c.Object == nil || c.Object.GetDeletionTimestamp() != nil {
			return
		}
		if owner := metav1.GetControllerOf(c.Object); owner != nil {
			j.uids[key] = c.Object.GetUID()
			j.owners[c.Object.GetUID()] = owner.UID
		}
	}
}

func (j *Judge) takePod(c *Change) {
	if c.Pod == nil {
		delete(j.pods, c.Name)
		return
	}
	p := pod{Event: gpuwatch.EventOf("MODIFIED", c.Pod, rbgfake.LabelRoleName, c.At)}
	if owner := metav1.GetControllerOf(c.Pod); owner != nil {
		p.owner = owner.UID
	}
	j.pods[c.Name] = p
}

// usage is the GPUs that are held, and those that are asked for and not there yet.
func (j *Judge) usage() int {
	held := 0
	for _, p := range j.pods {
		if p.State.Holds() {
			held += p.GPUs
		}
	}
	for _, role := range roleNames {
		held += max(0, j.desired(role)-j.count(role, j.living)) * GPUsPerReplica
	}
	return held
}

// count counts pods of a role.
func (j *Judge) count(role string, which func(*pod) bool) int {
	n := 0
	for _, p := range j.pods {
		if p.Role == role && which(&p) {
			n++
		}
	}
	return n
}

// living pods are not on their way out: neither they nor any of their owners up to the group were deleted.
func (j *Judge) living(p *pod) bool {
	if p.State != gpuwatch.Starting && p.State != gpuwatch.Ready || j.group == nil {
		return false
	}
	set, ok := j.owners[p.owner]
	return ok && j.owners[set] == j.group.GetUID()
}

func (j *Judge) ready(p *pod) bool { return j.living(p) && p.State == gpuwatch.Ready }

// desired is the count that holds for a role: its bound adapter's, else the group's; 0 where the role is gone.
func (j *Judge) desired(role string) int {
	r := j.role(role)
	if r == nil {
		return 0
	}
	n := number(r, 1, "replicas")
	if a := j.adapters[role]; a != nil && a.GetDeletionTimestamp() == nil {
		if phase, _, _ := unstructured.NestedString(a.Object, "status", "phase"); phase == "Bound" {
			n = number(a.Object, n, "spec", "replicas")
		}
	}
	return n
}

func (j *Judge) role(name string) map[string]any {
	if j.group == nil {
		return nil
	}
	value, _, _ := unstructured.NestedFieldNoCopy(j.group.Object, "spec", "roles")
	roles, _ := value.([]any)
	for _, r := range roles {
		if m, ok := r.(map[string]any); ok && m["name"] == name {
			return m
		}
	}
	return nil
}

// budget is the resource's, without limit before there is one.
func (j *Judge) budget() int {
	if j.pda == nil {
		return 1 << 30
	}
	return number(j.pda.Object, 1<<30, "spec", "budget", "gpus")
}

func (j *Judge) bounds(role string) (least, most int) {
	if j.pda == nil {
		return 0, 1 << 30
	}
	return number(j.pda.Object, 1, "spec", "roles", role, "min"), number(j.pda.Object, 1<<30, "spec", "roles", role, "max")
}

// resting says what is not as planned, empty where all is.
func (j *Judge) resting(planned Counts) string {
	for _, role := range roleNames {
		want, here := planned.Of(role), 0
		for _, p := range j.pods {
			if p.Role == role {
				here++
			}
		}
		if got := j.desired(role); got != want || here != want || j.count(role, j.ready) != want {
			return fmt.Sprintf("%s is asked for %d, has %d pods and %d of them ready; planned are %d", role, got, here, j.count(role, j.ready), want)
		}
	}
	if j.pda == nil {
		return "the resource is gone"
	}
	if move, found, _ := unstructured.NestedMap(j.pda.Object, "status", "move"); found {
		return fmt.Sprintf("a move is under way: %v", move)
	}
	if drains, found, _ := unstructured.NestedSlice(j.pda.Object, "status", "drains"); found {
		return fmt.Sprintf("a drain is under way: %v", drains)
	}
	if held := j.pda.GetFinalizers(); len(held) > 0 {
		return fmt.Sprintf("the resource is held by %v", held)
	}
	return ""
}

// number reads a whole number, as JSON decoded it.
func number(object map[string]any, otherwise int, fields ...string) int {
	value, found, err := unstructured.NestedFieldNoCopy(object, fields...)
	if err != nil || !found {
		return otherwise
	}
	switch n := value.(type) {
	case float64:
		return int(n)
	case int64:
		return int(n)
	case json.Number:
		if i, err := n.Int64(); err == nil {
			return int(i)
		}
	}
	return otherwise
}
