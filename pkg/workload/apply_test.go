package workload

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

func TestApply(t *testing.T) {
	var (
		resource   = schema.GroupResource{Group: "workloads.x-k8s.io", Resource: "rolebasedgroups"}
		testFailed = apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "patch", resource, "dynamo-pd", "testing path /spec/replicas failed", 0, true)
		conflict   = apierrors.NewConflict(resource, "dynamo-pd", errors.New("modified"))
		badValue   = apierrors.NewInvalid(modern.group().GroupKind(), "dynamo-pd", field.ErrorList{field.Invalid(field.NewPath("spec", "replicas"), 9, "too many")})
	)
	const patchPrefill = `RoleBasedGroup dynamo-pd application/json-patch+json [{"op":"test","path":"/metadata/uid","value":"group-1"},` +
		`{"op":"test","path":"/spec/roles/1/name","value":"prefill"},{"op":"test","path":"/spec/roles/1/replicas","value":2},{"op":"add","path":"/spec/roles/1/replicas","value":3}]`
	for name, tc := range map[string]struct {
		build    func(*cluster)
		role     planner.Role
		from, to int
		want     []string // writes
		wantErr  string
		is       any // the error's type
	}{
		"nothing to do":   {role: prefill, from: 7, to: 7},
		"the role itself": {role: prefill, from: 2, to: 3, want: []string{patchPrefill}},
		"through the bound adapter": {build: func(c *cluster) { c.adapter("decode", "Bound", 1) }, role: decode, from: 1, to: 4,
			want: []string{`RoleBasedGroupScalingAdapter dynamo-pd-decode/scale application/json-patch+json [{"op":"test","path":"/metadata/uid","value":"adapter-decode"},` +
				`{"op":"test","path":"/spec/replicas","value":1},{"op":"replace","path":"/spec/replicas","value":4}]`}},
		"down to nothing": {build: func(c *cluster) { c.adapter("decode", "Bound", 1) }, role: decode, from: 1, to: 0,
			want: []string{`RoleBasedGroupScalingAdapter dynamo-pd-decode/scale application/json-patch+json [{"op":"test","path":"/metadata/uid","value":"adapter-decode"},` +
				`{"op":"test","path":"/spec/replicas","value":1},{"op":"replace","path":"/spec/replicas","value":0}]`}},
		"a count that is only the default": {build: func(c *cluster) { c.role("decode", `replicas: null`) }, role: decode, from: 1, to: 2,
			want: []string{`RoleBasedGroup dynamo-pd application/json-patch+json [{"op":"test","path":"/metadata/uid","value":"group-1"},` +
				`{"op":"test","path":"/spec/roles/2/name","value":"decode"},{"op":"test","path":"/metadata/resourceVersion","value":"999"},{"op":"add","path":"/spec/roles/2/replicas","value":2}]`}},
		"the default was not what was decided from": {build: func(c *cluster) { c.role("decode", `replicas: null`) }, role: decode, from: 2, to: 3,
			wantErr: "replicas of role decode in RoleBasedGroup default/dynamo-pd are no longer 2: someone else changed them, nothing was written", is: new(*ConflictError)},
		"an adapter that is not bound": {build: func(c *cluster) { c.adapter("prefill", "NotBound", 2) }, role: prefill, from: 2, to: 3,
			wantErr: "scaling adapter default/dynamo-pd-prefill of role prefill is not bound (phase NotBound): nothing is written until its phase is Bound", is: new(*NotBoundError)},
		"an adapter that is fresh": {build: func(c *cluster) { c.adapter("prefill", "", 2) }, role: prefill, from: 2, to: 3,
			wantErr: "is not bound (phase empty)", is: new(*NotBoundError)},
		"an adapter that is still to be made": {build: func(c *cluster) { c.role("prefill", `scalingAdapter: {enable: true}`) }, role: prefill, from: 2, to: 3,
			wantErr: "is not bound (phase missing)", is: new(*NotBoundError)},
		"someone else was faster": {build: func(c *cluster) { c.refuse = testFailed }, role: prefill, from: 2, to: 3, want: []string{patchPrefill},
			wantErr: "replicas of role prefill in RoleBasedGroup default/dynamo-pd are no longer 2", is: new(*ConflictError)},
		"a conflict": {build: func(c *cluster) { c.refuse = conflict }, role: prefill, from: 2, to: 3, want: []string{patchPrefill},
			wantErr: "are no longer 2", is: new(*ConflictError)},
		"a count that the API refuses is no conflict": {build: func(c *cluster) { c.refuse = badValue }, role: prefill, from: 2, to: 3, want: []string{patchPrefill},
			wantErr: "write the replicas of role prefill in RoleBasedGroup default/dynamo-pd: "},
		"without permission": {build: func(c *cluster) { c.refuse = forbiddenError("RoleBasedGroup") }, role: prefill, from: 2, to: 3, want: []string{patchPrefill},
			wantErr: "no permission"},
		"no group": {build: func(c *cluster) { c.objects = c.objects[1:] }, role: prefill, from: 2, to: 3,
			wantErr: "RoleBasedGroup default/dynamo-pd does not exist", is: new(*MissingError)},
		"no such role": {build: func(c *cluster) { c.role("prefill", `name: encode`) }, role: prefill, from: 2, to: 3,
			wantErr: `RoleBasedGroup default/dynamo-pd has no role "prefill"`, is: new(*MissingError)},
		"less than nothing": {role: prefill, from: 2, to: -1, wantErr: "-1 replicas were asked for, it must be 0 or more"},
		"not a scaled role": {role: FrontendRole, from: 1, to: 2, wantErr: `has no role "frontend": it must be prefill or decode`},
	} {
		t.Run(name, func(t *testing.T) {
			c := dynamoPD(t)
			if tc.build != nil {
				tc.build(c)
			}
			err := c.workload().Apply(t.Context(), target, tc.role, tc.from, tc.to)
			if diff := cmp.Diff(tc.want, c.writes); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
			switch {
			case tc.wantErr == "" && err != nil:
				t.Error(err)
			case tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)):
				t.Errorf("error %v, want %q", err, tc.wantErr)
			case tc.is != nil && !errors.As(err, tc.is):
				t.Errorf("error %T, want %T", err, tc.is)
			case tc.is == nil && (errors.As(err, new(*ConflictError)) || errors.As(err, new(*NotBoundError)) || errors.As(err, new(*MissingError))):
				t.Errorf("error %T, want none of the typed ones", err)
			}
		})
	}
}
