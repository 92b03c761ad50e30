// One row for each host; text only, so that no name can be markup.
const gib = (kib) => (kib / 2 ** 20).toFixed(1);

fetch("../hosts")
  .then((answer) => answer.json())
  .then((hosts) => {
    for (const host of hosts) {
      const row = document.getElementById("hosts").insertRow();
      const cells = host.reason
        ? [host.host, "", "", host.reason]
        : [
            host.host,
            `${host.promised_cpus} / ${host.cpus}`,
            `${gib(host.promised_memory)} / ${gib(host.memory)}`,
            host.full ? "full" : "",
          ];
      for (const cell of cells) row.insertCell().textContent = cell;
    }
  });
