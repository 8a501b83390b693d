import { parser } from '@prometheus-io/lezer-promql';

type Node = ReturnType<typeof parser.parse>['topNode'];

/** A metric of a query, with its label matchers. */
export interface Selector {
  readonly metric: string;
  readonly matchers: readonly { readonly label: string; readonly operator: string; readonly value: string }[];
}

/** Labels of a grouping, and the metrics that it groups. */
export interface Grouping {
  readonly labels: readonly string[];
  readonly metrics: readonly string[];
}

/** Parses a PromQL query with Prometheus' grammar. @throws when it is invalid */
export function parseQuery(query: string): { selectors: Selector[]; groupings: Grouping[] } {
  const text = (node: Node): string => query.slice(node.from, node.to);
  const { topNode } = parser.parse(query);
  if (within(topNode, '⚠').length > 0) throw new Error(`not a query: ${query}`);
  const metricOf = (selector: Node): string => within(selector, 'Identifier').map(text)[0] ?? '';
  const selectors = within(topNode, 'VectorSelector').map((selector) => ({
    metric: metricOf(selector),
    matchers: within(selector, 'UnquotedLabelMatcher').map((matcher) => ({
      label: text(within(matcher, 'LabelName')[0]!),
      operator: text(within(matcher, 'MatchOp')[0]!),
      value: text(within(matcher, 'StringLiteral')[0]!).slice(1, -1),
    })),
  }));
  const groupings = within(topNode, 'GroupingLabels').map((labels) => ({
    labels: within(labels, 'LabelName').map(text),
    metrics: within(grouped(labels), 'VectorSelector').map(metricOf),
  }));
  return { selectors, groupings };
}

/** The expression of a label clause. */
function grouped(clause: Node): Node {
  let node = clause;
  while (node.parent && !/^(AggregateExpr|BinaryExpr)$/.test(node.name)) node = node.parent;
  return node;
}

function within(node: Node, name: string): Node[] {
  const found = node.name === name ? [node] : [];
  for (let child = node.firstChild; child; child = child.nextSibling) found.push(...within(child, name));
  return found;
}
