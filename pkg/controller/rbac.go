package controller

// What the controller may do in a cluster. config/rbac/role.yaml is generated
// from these markers, and a control-plane test counts that each verb is used and
// none is missing. Rights that a cluster may do without (nodes, drains, Secrets
// of signals) are roles of their own in config/rbac. It never creates or deletes
// a workload or a pod.
//
// Its own resource; patch is for the finalizer of a running move.
//
// +kubebuilder:rbac:groups=pdautoscaler.io,resources=pdautoscalers,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=pdautoscaler.io,resources=pdautoscalers/status,verbs=patch
//
// A RoleBasedGroup: a role is patched where it has no bound adapter.
//
// +kubebuilder:rbac:groups=workloads.x-k8s.io,resources=rolebasedgroups,verbs=get;patch
// +kubebuilder:rbac:groups=workloads.x-k8s.io,resources=rolebasedgroupscalingadapters,verbs=get
// +kubebuilder:rbac:groups=workloads.x-k8s.io,resources=rolebasedgroupscalingadapters/scale,verbs=patch
// +kubebuilder:rbac:groups=workloads.x-k8s.io,resources=coordinatedpolicies,verbs=get
//
// Between it and its pods: who owns them, and whether a rollout is under way.
//
// +kubebuilder:rbac:groups=workloads.x-k8s.io,resources=roleinstancesets;roleinstances;instancesets;instances,verbs=get
// +kubebuilder:rbac:groups=apps,resources=replicasets,verbs=get
//
// Objects with a /scale that may be named by reference. For kinds that are not
// here bind a role with get on the kind, and get and patch on its /scale.
//
// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets,verbs=get
// +kubebuilder:rbac:groups=apps,resources=deployments/scale;statefulsets/scale,verbs=get;patch
// +kubebuilder:rbac:groups=leaderworkerset.x-k8s.io,resources=leaderworkersets,verbs=get
// +kubebuilder:rbac:groups=leaderworkerset.x-k8s.io,resources=leaderworkersets/scale,verbs=get;patch
// +kubebuilder:rbac:groups=disaggregatedset.x-k8s.io,resources=disaggregatedsetrolescalers,verbs=get
// +kubebuilder:rbac:groups=disaggregatedset.x-k8s.io,resources=disaggregatedsetrolescalers/scale,verbs=get;patch
// +kubebuilder:rbac:groups=nvidia.com,resources=dynamographdeploymentscalingadapters,verbs=get
// +kubebuilder:rbac:groups=nvidia.com,resources=dynamographdeploymentscalingadapters/scale,verbs=get;patch
//
// Replicas and the GPUs that they hold; dcgm-exporter's pods.
//
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch
//
// GPUs that pods take by resource claims.
//
// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceclaimtemplates,verbs=get
//
// What limits growth besides the budget.
//
// +kubebuilder:rbac:groups="",resources=resourcequotas,verbs=list;watch
// +kubebuilder:rbac:groups=kueue.x-k8s.io,resources=localqueues;clusterqueues,verbs=get
//
// Other writers of the same role.
//
// +kubebuilder:rbac:groups=autoscaling,resources=horizontalpodautoscalers,verbs=list;watch
// +kubebuilder:rbac:groups=keda.sh,resources=scaledobjects,verbs=list
// +kubebuilder:rbac:groups=inference-extension.rolebasedgroup.io,resources=autoscalers,verbs=list
//
// A model's config.json (spec.model.configMapRef).
//
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get
//
// What it did and saw.
//
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
//
// Who may read /metrics and /debug.
//
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create
