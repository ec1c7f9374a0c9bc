import { render } from "preact";
import { App } from "./app";
import { follow } from "./store";
import "./styles.css";

follow();
render(<App />, document.getElementById("app")!);
