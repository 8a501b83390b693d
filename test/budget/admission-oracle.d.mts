export class Window {
  constructor(limit: number, span: number, burst: number);
  wait(now: number): number;
  consume(now: number): void;
}
export function windows(...limits: [limit: number, span: number][]): Window[];
