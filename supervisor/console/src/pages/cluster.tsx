// The nodes: what each has, how busy it is, and which replicas sit there.

import { api, type Node } from "../api";
import { bytes, count } from "../format";
import { t } from "../i18n";
import { Badge, Button, confirmFirst, Empty, Head, Meter, Notice, Skeletons, useLoaded } from "../parts";
import { to } from "../router";
import { rights } from "../session";
import { attempt } from "../store";

export function Cluster() {
  const nodes = useLoaded(api.nodes, [], 2000);
  const all = nodes.data?.data ?? [];
  return (
    <>
      <Head title={t("cluster.title")} lead={nodes.data && lead(all)} />
      {nodes.error && <Notice kind="bad">{nodes.error}</Notice>}
      {!nodes.data && !nodes.error && <Skeletons count={2} height={180} />}
      {nodes.data && !all.length && <Empty icon="cluster" title={t("cluster.none")} />}
      <ul class="grid nodes">
        {all.map((each) => (
          <NodeCard key={each.id} node={each} onChange={nodes.again} />
        ))}
      </ul>
    </>
  );
}

function lead(all: Node[]): string {
  const gpus = all.reduce((sum, each) => sum + each.num_gpus, 0);
  const replicas = all.reduce((sum, each) => sum + each.replicas.length, 0);
  return [t("cluster.nodes", { n: count(all.length) }), t("cluster.gpus", { n: count(gpus) }), t("cluster.replicas", { n: count(replicas) })].join(" · ");
}

function NodeCard({ node, onChange }: { node: Node; onChange: () => void }) {
  const name = node.hostname || node.address;
  const change = async (work: () => Promise<unknown>, done: string) => {
    await attempt(work, done);
    onChange();
  };
  const drain = () =>
    confirmFirst({
      title: t("drain.title", { node: name }),
      text: t("drain.text"),
      action: t("drain.action"),
      run: () => change(() => api.drain(node.id), t("drain.done", { node: name })),
    });
  return (
    <li class="card node">
      <div class="card-head">
        <span class="row-title">
          <strong>{name}</strong>
          {node.head && <span class="tag">{t("cluster.head")}</span>}
          <Badge state={node.state} />
        </span>
        {rights.value.admin && !node.head && node.state === "READY" && <Button onClick={drain}>{t("drain.action")}</Button>}
        {rights.value.admin && node.state === "DRAINED" && <Button onClick={() => change(() => api.undrain(node.id), t("undrain.done", { node: name }))}>{t("undrain.action")}</Button>}
      </div>
      <p class="muted small-text">
        {[node.hostname && node.address, ...Object.entries(node.labels).map(([key, value]) => `${key}=${value}`)].filter(Boolean).join(" · ")}
      </p>
      {node.cpu && <Meter label={t("cluster.cpu")} value={node.cpu.used_percent / 100} detail={t("cluster.cores", { n: node.cpu.count, used: Math.round(node.cpu.used_percent) })} />}
      {node.memory && <Meter label={t("cluster.memory")} value={node.memory.used / (node.memory.total || 1)} detail={`${bytes(node.memory.used)} / ${bytes(node.memory.total)}`} />}
      {node.disk && <Meter label={t("cluster.disk")} value={1 - node.disk.free / (node.disk.total || 1)} detail={t("cluster.free", { n: bytes(node.disk.free) })} />}
      {node.gpus.map((gpu) => (
        <Meter key={gpu.index} label={`GPU ${gpu.index} · ${gpu.name}`} value={gpu.memory_total ? gpu.memory_used / gpu.memory_total : 0} detail={`${bytes(gpu.memory_used)} / ${bytes(gpu.memory_total)}${gpu.utilization === null ? "" : ` · ${Math.round(gpu.utilization)} %`}`} />
      ))}
      {!node.gpus.length && <p class="muted small-text">{node.num_gpus ? t("cluster.gpus", { n: count(node.num_gpus) }) : t("cluster.nogpu")}</p>}
      <div class="tags">
        {node.replicas.map((each) => (
          <a key={each.replica} class="tag link" href={to("models", each.model_uid)} title={each.replica}>
            {each.model_uid}
          </a>
        ))}
        {!node.replicas.length && <span class="muted small-text">{t("cluster.empty")}</span>}
      </div>
    </li>
  );
}
